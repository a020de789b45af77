"""Runs of a deployed pipeline, in an account or locally.

start       starts one; redrive repeats a failed one
follow      an execution's history as a story; watch reads the history from Step Functions
executions  runs in Step Functions; run_json: the one shape of a run; view: that shape for people
status      the pipeline on one screen
progress    lines in a terminal during a run
files       in S3, of one run or of all
promote     a run's models become the defaults; rollback: an earlier version becomes live
"""
