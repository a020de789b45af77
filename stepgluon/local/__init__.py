"""A local run: the same definition, templates, Lambda and scripts as in an account, in localaws.

run            `run --local` from the data files to the panel
serve          `local up`
redrive        redrive and watch of a local run
compile_cache  the compiled definition
deployed       a local AWS with the pipeline deployed to it
run_folder     DIR/runs/<run>/: writes and refreshes what is left of a run
work_folder    reads it, with or without a server
journal        which executions began, so that interrupted ones continue
surroundings   errors of the disk and the folder, signals
"""
