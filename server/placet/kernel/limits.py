"""Limits and defaults: named constants, the unit last, with the reason for each value."""

from __future__ import annotations

from typing import Final

PARAMS_BYTES_MAX: Final = 65_536
"""Parameters of a tool call. Larger payloads belong in an object store, with the action naming them."""
STEP_BYTES: Final = 4_096
"""Larger inputs are processed in steps, between which the event loop runs other tasks: a millisecond's work."""
SCREEN_PLACES_MAX: Final = 4_096
"""Places of one value that detectors examine closely, 3 us each: as many e-mail addresses as fit into params of 64 KiB.
A value with more places is redacted as a whole before it is stored."""
PARAMS_DEPTH_MAX: Final = 32
"""Levels of nesting in params. Real tool schemas stay below 10; parsers fail above some hundreds."""
SAFE_INTEGER_MAX: Final = 2**53 - 1
"""Largest integer that every JSON reader holds exactly (RFC 7493)."""
IDEMPOTENCY_KEY_BYTES_MAX: Final = 128
TOOL_CHARS_MAX: Final = 128
GLOB_STARS_MAX: Final = 8
"""``*`` in one pattern. Names have a few parts, so more stars express nothing that fewer cannot."""
TENANT_CHARS_MAX: Final = 64
PRINCIPAL_BYTES_MAX: Final = 256
"""An agent, a user, one link of the delegation chain, a scope."""
LABEL_BYTES_MAX: Final = 128
"""A role, run id, trace id, workflow, planner, model name or prompt version."""
SHORT_LABEL_BYTES_MAX: Final = 64
"""An environment, tool schema version or approval id."""
DESTINATION_BYTES_MAX: Final = 1_024
URI_BYTES_MAX: Final = 2_048
ROLES_MAX: Final = 64
"""Roles of one user. Policy compares every one."""
DELEGATION_MAX: Final = 16
DELEGATION_SCOPES_MAX: Final = 16
"""Scopes of one hop of a delegation. Each is compared with every scope of the hop before."""
EVIDENCE_MAX: Final = 64
QUORUM_MAX: Final = 16
"""Votes that one action may require. A quorum larger than a team can gather is a denial."""
APPROVAL_TTL_SECONDS_DEFAULT: Final = 86_400
"""How long approvers have to vote: a working day and the night before it."""
APPROVAL_TTL_SECONDS_MAX: Final = 604_800
"""A week. An action proposed longer ago should be proposed again."""
BUDGETS_MAX: Final = 64
"""Budgets of one tenant. Each budget that covers an action is one more counter in its commit."""
BUDGET_ID_CHARS_MAX: Final = 64
SIMILAR_DECISIONS_MAX: Final = 1_000
"""The newest decisions of a tenant among which those about the same tool are counted, as a hint for approvers."""
VOIDED_LISTED_MAX: Final = 200
"""Approvals of each kind that the answer to voided votes lists. It stays far below the limit of a message."""
WATCHERS_MAX: Final = 10_000
"""Open watch streams of one server. Each holds a queue and a connection's memory."""
WATCH_QUEUE_MAX: Final = 256
"""Changes that one watcher may be behind. A slower one is disconnected and resumes with its cursor."""
WATCH_EVENTS_MAX: Final = 500
"""Changes that one read fetches for all watchers."""
WATCH_POLL_SECONDS: Final = 2
"""How often a server looks for changes without having been notified."""
WATCH_READ_GAP_MS: Final = 20
"""Pause between two reads of changes. Under load one read fetches everything from the pause."""
WATCHERS_NOTIFIED_TOGETHER: Final = 16
"""Watchers that are notified of one change in one go: 2 ms of the event loop, which also makes decisions."""
WATCH_NOTIFY_GAP_MS: Final = 6
"""Pause between two such groups. Decisions hardly notice, and 1,000 watchers are notified within half a second."""
RUN_SECONDS_MAX: Final = 604_800
"""The longest `max_duration_seconds`, and the longest window or pause of a circuit breaker: a week."""
AGENTS_MAX: Final = 1_024
"""Entries in the register of agents of one tenant. Every action is compared with each pattern."""
AUTONOMY_RULES_MAX: Final = 256
"""Autonomy rules of one tenant. Every action is compared with each."""
APPROVER_GROUP_MAX: Final = 1_024
"""People in one approver group."""
KILL_SWITCHES_MAX: Final = 256
"""Kill switches that stop a part of one tenant, or a part of all tenants. Every action is compared with each."""
KILL_SWITCH_TTL_SECONDS_MAX: Final = 31_536_000
"""The latest expiry of a kill switch: a year. For longer, set one without an expiry."""
CONTROL_REQUEST_TTL_SECONDS: Final = 3_600
"""How long a change waits for its second person: an hour. Older requests should be reconsidered."""
CONTROL_TRIES_MAX: Final = 20
"""Attempts to commit one change of a person. Changes on other replicas must not make setting a kill switch fail."""
PERMITS_REVOKED_MAX: Final = 10_000
"""Permits that setting one kill switch revokes by name, newest first. Others expire within PERMIT_TTL_SECONDS."""
PERMITS_REVOKED_TOGETHER: Final = 500
"""Permits that are revoked in one commit, so that other commits do not wait long."""
CONTROL_TENANTS_HELD_MAX: Final = 10_000
"""Tenants whose kill switches and autonomy are cached in memory: some kilobytes for each."""
CONTROL_REASON_BYTES_MAX: Final = 1_024
"""The reason for a control change: a sentence or two."""
BUDGET_ADJUST_SOLO_PERCENT: Final = 10
"""Percentage of a budget's limit that one person may add to a counter, or take from it, in one adjustment."""
BUDGET_COUNTERS_DEFAULT: Final = 10
"""Counters of one budget in one answer unless the request names a number."""
BUDGET_COUNTERS_MAX: Final = 100
"""Counters of one budget in one answer, the largest first."""
TOKENS_MAX: Final = 1_000
"""Access tokens that are neither revoked nor expired. Each process holds all of them in memory."""
TOKEN_TTL_SECONDS_DEFAULT: Final = 7_776_000
"""How long an access token is valid unless its maker says otherwise: 90 days."""
TOKEN_TTL_SECONDS_MAX: Final = 31_536_000
"""The longest validity of an access token: a year. None is valid forever."""
TOKEN_GRANTS_MAX: Final = 16
"""Grants of one access token."""
TOKEN_TENANTS_MAX: Final = 64
"""Tenants of one grant of an access token, and its patterns of agents."""
GUESSES_FREE_PER_MINUTE: Final = 20
"""Wrong credentials from one host in a minute whose answers are not delayed: a rollout with an old token has some."""
GUESS_DELAY_MS: Final = 500
"""How long the answers to further ones take."""
GUESSES_DELAYED_MAX: Final = 256
"""Answers that are delayed at once. More are given without a delay: waiting calls take memory."""
GUESSING_HOSTS_MAX: Final = 4_096
"""Hosts whose wrong credentials are counted, those of the last ones."""
STEP_MAX: Final = 1_000_000
BATCH_ACTIONS_MAX: Final = 100
"""Actions of one AuthorizeBatch. They share one commit, so this limits how long other commits wait for it."""
ACTION_BYTES_MAX: Final = 640 * 1024
"""One action's message, and any message that is not a batch. Params of 64 KiB as a Struct fit, with every other field
at its limit. Protobuf parses such a message without a pause in 12 ms at most, however many small parts it has."""
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""One gRPC message. A batch of 100 actions with params of 64 KiB fits."""
VIOLATIONS_MAX: Final = 250
"""Wrong fields of a batch after which validation stops: as many as one action can have."""
LARGE_MESSAGE_BYTES: Final = 256 * 1024
"""More than one action needs. Larger messages leave a quarter of REQUEST_BYTES_HELD_MAX to smaller ones."""
MESSAGE_READS_MAX: Final = 16
"""Messages that are read from the network at once: together at most 128 MiB in gRPC's buffers."""
MESSAGE_PATIENCE_MS: Final = 250
"""How long a message may take to arrive while others wait for its place."""
STREAMS_MAX: Final = 256
"""Open AuthorizeStream calls. Each may hold one message of MESSAGE_BYTES_MAX in gRPC's buffers while it arrives."""
STREAM_IN_FLIGHT_MAX: Final = 256
"""Requests of one stream that are read and not answered yet, and requests of one of its messages: two batches of the
pipeline, so that one is read while the other is decided."""
STREAM_STEP_BYTES: Final = 64 * 1024
"""A message of a stream that is deserialized without a pause: a millisecond at most, and 64 usual requests."""
STREAM_ANSWER_BYTES: Final = 64 * 1024
"""Answers that are sent in one message of a stream. A larger answer has a message to itself."""
REQUEST_BYTES_HELD_MAX: Final = 64 * 1024 * 1024
"""Messages of all calls in progress. A call takes about five times the size of its message. One connection may use
half of the limit."""
CALLS_UNREAD_MAX: Final = 4_096
"""Calls whose message has not been read yet."""
CALLS_MAX: Final = 16_384
"""Calls in progress, including watch streams. Each takes some tens of kilobytes."""
PIPELINE_ACTIONS_MAX: Final = 128
"""Actions that pass the decision pipeline together. Batching beyond 64 gains nothing more in OPA."""
PIPELINE_BYTES_MAX: Final = 256 * 1024
"""Bytes of those actions. Redacting 64 KiB takes 5 to 10 ms, so the next batch waits for about 40 ms of work."""
QUEUE_DEPTH_MAX: Final = 1_024
"""Actions that wait for the pipeline. More are rejected at once, so that admitted ones stay fast."""
QUEUE_TURN_ACTIONS: Final = 16
"""Actions that a tenant, or one of its callers, adds to a batch in one turn. OPA gains little by larger batches."""
QUEUE_SHARE_ACTIONS: Final = 4
"""Actions that a tenant may always add to a batch of several tenants. More would let the others wait for a flood."""
QUEUE_SHARED_BATCHES: Final = 16
"""Batches for which that holds after two tenants last waited together. A caller that is answered soon asks again."""
QUEUE_TURN_BYTES: Final = 128 * 1024
"""Bytes of those actions: two with the largest params, or sixteen of 8 KiB. Beyond 8 KiB bytes dominate the time."""
RETRY_AFTER_MS: Final = 250
"""How long an overloaded server asks callers to wait."""
OPA_TIMEOUT_MS: Final = 250
"""One query: a thousand times what a small policy takes."""
OPA_QUERY_BYTES_MAX: Final = 256 * 1024
"""Inputs of one query. OPA needs longer than OPA_TIMEOUT_MS for 6 MiB, which denies every action in the query."""
OPA_ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""One answer of OPA. The findings of a batch stay far below, so a larger answer is an error."""
FINDINGS_MAX: Final = 256
"""Findings of one evaluation."""
FINDING_DETAILS_BYTES_MAX: Final = 8_192
"""Details of one finding as JSON."""
OBLIGATIONS_MAX: Final = 16
"""Obligations of one decision. Callers implement each of them, so more indicate a mistake in a rule."""
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
"""How many times the reserved value an outcome counts at once, by default. Estimates are off by less; wrong units
(cents for euros) and made-up numbers are off by more."""
OUTCOME_UNHELD_PERCENT: Final = 50
"""Percentage of a budget's limit that one report of tokens or cost counts at once, however little was estimated. Two
calls without an estimate can use up a budget; one call cannot."""
GIVE_BACKS_PER_RUN: Final = 10
"""Reports of one run that give budget back, by default. Runs in which more calls fail or are dropped are rare."""
GIVE_BACKS_PER_RUN_MAX: Final = 1_000_000
GIVE_BACK_PERCENT: Final = 100
"""Percentage of a budget's limit that outcomes give back in one window, by default. So reports that are made up spend
at most twice the limit."""
GIVE_BACK_PERCENT_MAX: Final = 10_000
"""A hundred times the limit."""
COMMIT_TRIES_MAX: Final = 3
"""Attempts to commit one decision or change whose inputs change concurrently. Losing one race is rare; losing three
indicates a defect."""
POLICY_RELOADS_MAX: Final = 20
"""Policy reloads while one action is decided. A reload takes longer than a decision, so even two in a row are rare."""
IDEMPOTENCY_RETENTION_HOURS: Final = 24
"""Default and minimum retention of an idempotency key: it outlasts an outage of a night."""
EXPIRY_ROWS_MAX: Final = 200
"""Rows that expire in one commit. It stays as short as a batch of decisions, which wait for it."""
PURGED_KEYS_MAX: Final = 1_000
"""Idempotency keys that are deleted in one commit. Decisions wait for it."""
CHECKPOINT_RECORDS_MAX: Final = 1_000
"""A checkpoint is signed at the latest after this many records."""
CHECKPOINT_INTERVAL_SECONDS: Final = 60
"""A checkpoint is signed at the latest after this time, when there is a new record."""
PERMIT_TTL_SECONDS: Final = 60
"""How long an allow may be acted on. A call starts within seconds; a delayed one must ask again."""
PERMIT_BYTES_MAX: Final = 16_384
"""The permit in a report. One that reserves of BUDGETS_MAX budgets is shorter."""
PERMIT_KEY_OVERLAP_SECONDS: Final = 86_400
"""How long a retired signing key stays published: far beyond a permit's life, clock skew and a server's shutdown."""
PERMIT_KEY_LEAD_SECONDS: Final = 60
"""How long a new key is published before it signs, so that every replica has it and executors can fetch it."""
PERMIT_KEYS_LOOK_SECONDS: Final = 5
"""How often a server looks for a new permit key in a folder."""
SHARED_KEYS_LOOK_SECONDS: Final = 1
"""How often a process looks for changed keys in the database."""
SHARED_KEYS_AGE_SECONDS_MAX: Final = 3_600
"""A process signs no permits when it could not read the keys in the database for longer: they may be withdrawn. Far
below PERMIT_KEY_OVERLAP_SECONDS, so that nothing it signs is unknown to the other processes."""
SHARED_KEYS_MAX: Final = 64
"""Keys of one use in the database. Rotations of a day; older ones are removed."""
JWKS_CACHE_SECONDS: Final = 30
"""How long the public keys may be cached: below PERMIT_KEY_LEAD_SECONDS, so that every cache has a key that signs."""
WEBHOOK_TIMEOUT_MS: Final = 15_000
"""One delivery, from the DNS lookup to the response's head. Receivers usually get 15 to 30 seconds."""
WEBHOOK_BYTES_MAX: Final = 16_384
"""Body of one delivery: three times the longest that can occur."""
WEBHOOK_WAIT_SECONDS_MIN: Final = 5
"""Wait before the second try. Each further wait is twice as long."""
WEBHOOK_WAIT_SECONDS_MAX: Final = 3_600
"""The longest wait between two tries, whatever `Retry-After` says: a recovered receiver is reached within an hour."""
WEBHOOK_TRIES_MAX: Final = 48
"""Tries of one delivery: some more than fit into WEBHOOK_AGE_SECONDS_MAX."""
WEBHOOK_AGE_SECONDS_MAX: Final = 86_400
"""From a delivery's first try to its last. By default an approval has ended by then."""
WEBHOOK_AT_ONCE_MAX: Final = 8
"""Deliveries in progress at once, a thread each. One receiver that hangs blocks no more than these."""
WEBHOOK_CLAIM_SECONDS: Final = 30
"""How long beyond the time-out a delivery belongs to the replica that started it; then another takes it over."""
WEBHOOK_POLL_SECONDS: Final = 2
"""How often a server looks for due deliveries without having been notified: those of other replicas, and retries."""
WEBHOOK_SECRETS_MAX: Final = 4
"""Secrets that sign at the same time: the old and the new one, and those of a rotation that was started twice."""
HEADER_BYTES_MAX: Final = 24_576
"""The headers of one call: the longest credential, and half as much beside it. gRPC's own limit of 8 KiB is exceeded by
tokens with many groups, and between 8 and 16 KiB gRPC refuses at random."""
PROVIDER_SECONDS_MAX: Final = 5
"""One answer of an identity provider, from the DNS lookup to its last byte. A call with a new key waits for it."""
PROVIDER_ANSWER_BYTES_MAX: Final = 262_144
"""One document of an identity provider. The key sets of large providers have 20 KiB."""
ISSUER_KEYS_MAX: Final = 100
"""Keys of one issuer. Providers publish fewer than ten."""
ISSUER_KEYS_REFRESH_SECONDS: Final = 300
"""How often the keys of an issuer are read again: a key that the provider withdraws counts no longer than this."""
ISSUER_KEYS_FILE_SECONDS: Final = 10
"""How often a `jwks_file` is read again."""
ISSUER_KEYS_RETRY_SECONDS: Final = 10
"""How often unreadable keys are tried again, and how often tokens with unknown keys cause another reading."""
ISSUER_KEYS_READINGS_AT_ONCE: Final = 3
"""Readings that tokens with unknown keys cause without a wait, so that a new key counts at once."""
VERIFIED_TOKENS_MAX: Final = 16_384
"""JWTs whose verification is remembered: those of a large company's agents, in 20 MB."""
REFUSED_ACCESS_RECORDED: Final = 5
"""Refused calls of one caller or address, for one reason and in one minute, that are recorded. The next record counts
the others."""
REFUSED_ACCESS_STRANGERS_RECORDED: Final = 60
"""Refused calls of all callers without a valid credential that are recorded in one minute: a stranger has any number of
addresses."""
REFUSED_ACCESS_SOURCES_MAX: Final = 4_096
"""Callers and addresses whose refused calls are counted apart, in 1 MB."""
STORE_CONNECT_SECONDS_MAX: Final = 4
"""Connecting to PostgreSQL. Callers learn after this time that it cannot be reached."""
STORE_IDLE_MS_MAX: Final = 2_000
"""Pause between two statements of a transaction. A replica that hangs longer loses its transaction and locks."""
STORE_LOCK_MS_MAX: Final = 3_000
"""One wait for a lock of another replica: longer than STORE_IDLE_MS_MAX, after which a hung replica has lost it."""
STORE_STATEMENT_MS_MAX: Final = 8_000
"""One statement, including waits for locks. A commit's statements take a millisecond."""
STORE_TRIES_MAX: Final = 5
"""Tries of one transaction after a conflict with another replica or a lost connection. Each race has a winner."""
WORKERS_MAX: Final = 64
"""Worker processes of one server."""
SHUTDOWN_SECONDS_MAX: Final = 10
"""From the first signal to exit."""
