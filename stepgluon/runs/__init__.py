"""Runs of a deployed pipeline, in an account or locally.

start       starts a run; redrive repeats a failed one
history     the story of an execution from its events; watch reads and follows them; job_log: the end of a job's log
critical_path  the states that determined how long a run took
executions  runs in Step Functions, and their files
run_record  a run as JSON; view: as text; run_list: runs as a table
logs        the logs of jobs; fetch: results and models as files; compare: two runs
report      report.html, with the run's name and times, or why it failed; earlier: the runs before it, for the report
status      the pipeline's state on one screen
progress    the progress of a run in the terminal; fit_log: the learners and their errors, from a training's log;
            trials: the trainings of a tuning
map_runs    how far Distributed Maps are; child_jobs: the jobs of their child executions
promote     makes a run's models the defaults; promote_partitions: those of thousands of partitions;
            model_registry: their versions and approvals
headline    what became of thousands of models: counts, the worst, and why some did not predict
endpoints   the pipeline's endpoints, what they cost a day, and how they are deleted
rollback    makes an earlier version live
"""
