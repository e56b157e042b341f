"""Limits: named constants, the unit last, each with its reason."""

from __future__ import annotations

from typing import Final

PARAMS_BYTES_MAX: Final = 65_536
"""A tool call's parameters; larger payloads belong in an object store, with the action naming them."""
STEP_BYTES: Final = 4_096
"""Input of more bytes is worked on in steps, between which the event loop does other things: a millisecond's work."""
SCREEN_PLACES_MAX: Final = 4_096
"""Places of one value that detectors look at closely, 3 us each. As many e-mail addresses fill params of 64 KiB; what
has more is stored redacted as a whole."""
PARAMS_DEPTH_MAX: Final = 32
"""Levels of nesting in params; real tool schemas stay below 10, parsers break above some hundreds."""
SAFE_INTEGER_MAX: Final = 2**53 - 1
"""Largest integer that every JSON reader holds exactly (RFC 7493)."""
IDEMPOTENCY_KEY_BYTES_MAX: Final = 128
TOOL_CHARS_MAX: Final = 128
GLOB_STARS_MAX: Final = 8
"""``*`` of one pattern. Names have a few parts, so more says nothing that fewer do not."""
TENANT_CHARS_MAX: Final = 64
PRINCIPAL_BYTES_MAX: Final = 256
"""Agent, user, one link of the delegation chain, scope."""
LABEL_BYTES_MAX: Final = 128
"""Role, run id, trace id, workflow, planner, model name, prompt version."""
SHORT_LABEL_BYTES_MAX: Final = 64
"""Environment, tool schema version, approval id."""
DESTINATION_BYTES_MAX: Final = 1_024
URI_BYTES_MAX: Final = 2_048
ROLES_MAX: Final = 64
"""Roles of one user; every one is compared by policy."""
DELEGATION_MAX: Final = 16
EVIDENCE_MAX: Final = 64
QUORUM_MAX: Final = 16
"""People who must agree to one action; more than a team can gather is a denial in disguise."""
APPROVAL_TTL_SECONDS_DEFAULT: Final = 86_400
"""How long people have to decide: a working day and the night before it."""
APPROVAL_TTL_SECONDS_MAX: Final = 604_800
"""A week; what was meant longer ago should be asked anew."""
BUDGETS_MAX: Final = 64
"""Budgets of one tenant; every one that covers an action is one more counter in its commit."""
BUDGET_ID_CHARS_MAX: Final = 64
SIMILAR_DECISIONS_MAX: Final = 1_000
"""The newest decisions of a tenant among which those about the same tool are counted, for who has to decide."""
VOIDED_LISTED_MAX: Final = 200
"""Approvals of each kind that one answer about voided votes lists: it stays far below what a message holds."""
WATCHERS_MAX: Final = 10_000
"""Streams of one server that wait for something to happen; each holds a queue and a connection's memory."""
WATCH_QUEUE_MAX: Final = 256
"""Changes that one watcher may be behind; one that is slower is sent away, and goes on with its cursor."""
WATCH_EVENTS_MAX: Final = 500
"""Changes read at once for all watchers."""
WATCH_POLL_SECONDS: Final = 2
"""How often a server looks for changes that nothing woke it for."""
WATCH_READ_GAP_MS: Final = 20
"""Between two looks for changes: under load all that happened meanwhile is read at once."""
WATCHERS_TOLD_TOGETHER: Final = 16
"""Watchers that are told of the same thing in one go: 2 ms of the event loop, which decides as well."""
WATCH_TELL_GAP_MS: Final = 6
"""Between two such goes: decisions hardly notice, and 1,000 watchers are told within half a second."""
RUN_SECONDS_MAX: Final = 604_800
"""The longest `max_duration_seconds`, and the longest window or pause of a circuit breaker: a week."""
AUTONOMY_RULES_MAX: Final = 256
"""Rules of autonomy of one tenant; every one is looked at for every action."""
APPROVER_GROUP_MAX: Final = 1_024
"""Persons of one approver group."""
KILL_SWITCHES_MAX: Final = 256
"""Kill switches of one tenant, or of none, that stop less than all of it; every one is looked at for every action."""
KILL_SWITCH_TTL_SECONDS_MAX: Final = 31_536_000
"""The latest end of a kill switch that ends by itself: a year. One that is to last longer has no end."""
CONTROL_REQUEST_TTL_SECONDS: Final = 3_600
"""How long a change waits for its second person: an hour; what was asked for longer ago is to be thought of anew."""
CONTROL_TRIES_MAX: Final = 20
"""Of one change that a person asks for: setting a kill switch must not fail because others on other replicas do so."""
PERMITS_REVOKED_MAX: Final = 10_000
"""Permits that setting one kill switch revokes by name, the newest; the others run out within PERMIT_TTL_SECONDS."""
PERMITS_REVOKED_TOGETHER: Final = 500
"""Of those, in one commit, so that others do not wait long for theirs."""
CONTROL_TENANTS_HELD_MAX: Final = 10_000
"""Tenants whose kill switches and autonomy are held in memory: some kilobytes for each."""
CONTROL_REASON_BYTES_MAX: Final = 1_024
"""Why somebody steers: a sentence or two."""
BUDGET_ADJUST_ALONE_PERCENT: Final = 10
"""Of a budget's limit: what one person may add to a counter, or take from it, in one go."""
BUDGET_COUNTERS_DEFAULT: Final = 10
BUDGET_COUNTERS_MAX: Final = 100
"""Counters of one budget in one answer, the largest first."""
STEP_MAX: Final = 1_000_000
BATCH_ACTIONS_MAX: Final = 100
"""Actions of one AuthorizeBatch: they share one commit, so this bounds how long others wait for it."""
ACTION_BYTES_MAX: Final = 640 * 1024
"""One action's message, and any message but a batch: params of 64 KiB as a Struct, and all else at its largest, fit.
What Protobuf parses in one go, however many small parts it has, takes 12 ms at most."""
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""One gRPC message: a batch of 100 actions with params of 64 KiB fits."""
VIOLATIONS_MAX: Final = 250
"""Wrong fields of a batch after which no more are looked for: as many as one action can have."""
LARGE_MESSAGE_BYTES: Final = 256 * 1024
"""More than one action needs. Larger messages leave a quarter of REQUEST_BYTES_HELD_MAX to smaller ones."""
MESSAGE_READS_MAX: Final = 16
"""Messages that are read from the network at once: together at most 128 MiB in gRPC's own buffers."""
MESSAGE_PATIENCE_MS: Final = 250
"""How long a message may take to arrive while others wait for its place."""
REQUEST_BYTES_HELD_MAX: Final = 64 * 1024 * 1024
"""Messages of all calls under way; a call takes about five times the size of its message, one connection half of it."""
CALLS_UNREAD_MAX: Final = 4_096
"""Calls whose message waits to be read."""
CALLS_MAX: Final = 16_384
"""Calls under way, streams of watchers included; each is some tens of kilobytes."""
PIPELINE_ACTIONS_MAX: Final = 128
"""Actions that go through the pipeline together; OPA's gain from batching is spent by 64."""
PIPELINE_BYTES_MAX: Final = 256 * 1024
"""Bytes of those actions. Redacting 64 KiB takes some 5 to 10 ms, so who comes next waits for some 40 ms of work."""
QUEUE_DEPTH_MAX: Final = 1_024
"""Actions waiting for the pipeline; more are refused at once, so that those admitted stay fast."""
QUEUE_TURN_ACTIONS: Final = 16
"""What a tenant, or a caller of it, adds to a batch in its turn; OPA gains little by batches beyond that."""
QUEUE_TURN_BYTES: Final = 128 * 1024
"""Bytes of those actions: two with the largest params, or sixteen of 8 KiB; beyond 8 KiB bytes are what costs time."""
RETRY_AFTER_MS: Final = 250
"""What an overloaded server asks callers to wait."""
OPA_TIMEOUT_MS: Final = 250
"""One query; a thousand times what a small policy costs."""
OPA_QUERY_BYTES_MAX: Final = 256 * 1024
"""Inputs of one query: one of 6 MiB takes OPA longer than OPA_TIMEOUT_MS, and then all that is in it is denied."""
OPA_ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""One answer of OPA; a batch's findings stay far below, so more means something is wrong."""
FINDINGS_MAX: Final = 256
"""Findings of one evaluation."""
FINDING_DETAILS_BYTES_MAX: Final = 8_192
"""Details of one finding as JSON."""
OBLIGATIONS_MAX: Final = 16
"""Obligations of one decision; callers implement each of them, so more are a mistake of a rule."""
OBLIGATIONS_BYTES_MAX: Final = 8_192
"""Obligations of one decision as JSON."""
OBLIGATION_ID_CHARS_MAX: Final = 64
REASON_CHARS_MAX: Final = 1_024
RULE_ID_CHARS_MAX: Final = 128
PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 500
RESERVATION_TTL_SECONDS: Final = 900
"""How long a reservation waits for its outcome: the permit's minute to start, and a long tool call."""
OUTCOME_EXCESS_FACTOR: Final = 10
"""How many times what was reserved an outcome counts at once, by default: estimates are off by less, wrong units (cents
for euros) and made-up numbers by more."""
OUTCOME_UNHELD_PERCENT: Final = 50
"""Of a budget's limit: what one report of tokens or cost counts at once however little was estimated. Two calls whose
callers estimate nothing use a budget up; one alone cannot."""
COMMIT_TRIES_MAX: Final = 3
"""Of one decision or change, when what it rests on was changed meanwhile: a lost race is rare, three are a fault."""
POLICY_RELOADS_MAX: Final = 20
"""Of the policy, while one action is decided: a reload takes longer than a decision, so even two in a row are rare."""
IDEMPOTENCY_RETENTION_HOURS: Final = 24
"""How long an idempotency key is kept, by default and at least: a night's outage is slept through."""
EXPIRY_ROWS_MAX: Final = 200
"""Rows that expire in one commit: it stays as short as a batch of decisions, which wait for it."""
SWEEP_KEYS_MAX: Final = 1_000
"""Idempotency keys forgotten in one commit; decisions wait for it."""
CHECKPOINT_RECORDS_MAX: Final = 1_000
"""A checkpoint is signed at the latest after this many records."""
CHECKPOINT_INTERVAL_SECONDS: Final = 60
"""A checkpoint is signed at the latest after this long, when there is something new."""
PERMIT_TTL_SECONDS: Final = 60
"""How long an allow may be acted on: a call starts within seconds; what an agent forgot about asks again."""
PERMIT_KEY_OVERLAP_SECONDS: Final = 86_400
"""A key that signs no longer stays published: far beyond a permit's life, the skew of clocks and a server's stop."""
PERMIT_KEY_LEAD_SECONDS: Final = 60
"""A new key is published so long before it signs, so that every replica has it and executors may fetch it."""
PERMIT_KEYS_LOOK_SECONDS: Final = 5
"""How often a server looks for a new permit key."""
WEBHOOK_TIMEOUT_MS: Final = 15_000
"""One delivery, from the look-up of the name to the answer's head: receivers are given 15 to 30 seconds in general."""
WEBHOOK_BYTES_MAX: Final = 16_384
"""One delivery's body: three times the longest that can be made."""
WEBHOOK_WAIT_SECONDS_MIN: Final = 5
"""Before the second try; each further wait is twice as long."""
WEBHOOK_WAIT_SECONDS_MAX: Final = 3_600
"""The longest wait between two tries, whatever `Retry-After` says: a receiver that is up again is found in an hour."""
WEBHOOK_TRIES_MAX: Final = 48
"""Of one delivery: some more than fit into WEBHOOK_AGE_SECONDS_MAX."""
WEBHOOK_AGE_SECONDS_MAX: Final = 86_400
"""From a delivery's first try to its last: an approval has ended by then, by default."""
WEBHOOK_AT_ONCE_MAX: Final = 8
"""Deliveries under way at once, a thread each: one receiver that hangs holds up no more."""
WEBHOOK_CLAIM_SECONDS: Final = 30
"""A delivery that a replica began is left to it for so long beyond the time-out; then another takes it for dead."""
WEBHOOK_POLL_SECONDS: Final = 2
"""How often a server looks for deliveries that nothing woke it for: those of other replicas, and further tries."""
WEBHOOK_SECRETS_MAX: Final = 4
"""Secrets that sign at the same time: the old and the new one, and those of a rotation that was begun twice."""
STORE_CONNECT_SECONDS_MAX: Final = 4
"""To reach PostgreSQL: callers wait no longer to be told that it is not there."""
STORE_IDLE_MS_MAX: Final = 2_000
"""A replica that hangs between two statements loses its transaction, and what it locked, after so long."""
STORE_LOCK_MS_MAX: Final = 3_000
"""One wait for a lock of another replica: longer than a hung one can hold it."""
STORE_STATEMENT_MS_MAX: Final = 8_000
"""One statement, waits for locks included; a commit's take a millisecond."""
STORE_TRIES_MAX: Final = 5
"""Of one transaction, when other replicas were quicker or the connection was lost. Each race has a winner."""
SHUTDOWN_SECONDS_MAX: Final = 10
"""From the first signal to exit."""
