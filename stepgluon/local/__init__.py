"""A local run: the same definition, templates, Lambda and scripts as in an account, in localaws.

doctor         says what this computer can do
data_check     reads tables before a run, with prepare's own code
run            `run` from the data files to the panel; up: `local up`
left_serving   keeps a run's endpoints answering after it
redrive        redrives and watches a local run
compile_cache  caches the compiled definition
live_runs      the runs for the live page
deployed       a local AWS with the pipeline deployed to it
mail_text      fits the mails to a local run
run_folder     writes and refreshes a run's folder, DIR/runs/<run>/
child_jobs     the child executions of runs, for their folders
work_folder    reads the runs' folders, with or without a server
drift_check    compares new rows with those that trained a model, and two models on the same rows
clean          deletes the files of old runs
journal        records which executions began, to continue interrupted ones
surroundings   errors of the disk and the folder, signals
"""
