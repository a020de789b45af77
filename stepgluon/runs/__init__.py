"""Runs of a deployed pipeline, in an account or locally.

start       starts a run; redrive repeats a failed one
history     the story of an execution from its events; watch reads and follows them; job_log: the end of a job's log
executions  runs in Step Functions; run_json: a run as JSON; view: a run as text
status      the pipeline's state on one screen
progress    lines in a terminal during a run
promote     makes a run's models the defaults; rollback: makes an earlier version live
"""
