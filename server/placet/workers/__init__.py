"""Worker processes: a supervisor that runs several processes, which decide behind one port."""
