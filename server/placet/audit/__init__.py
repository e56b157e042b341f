"""What is recorded, and the proof that it is whole: records, chain, verification, the ledger port."""
