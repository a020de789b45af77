"""Runs of a pipeline that is there, in an account or on this computer.

start       begins one; redrive starts the input of one that failed again
follow      an execution's history, told line by line; watch does so from afar; history asks Step Functions for it
executions  what a run was, found in Step Functions; run_json: the same shape wherever it ran; view: how its end reads
status      everything on one screen; refusals: why uploads started no run
progress    lines in a terminal while it runs
files       in S3, of one run or all
promote     its models become the defaults; rollback: the machine of before
"""
