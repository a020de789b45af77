"""A run on this computer: the same definition, templates, Lambda and scripts as in an account, in localaws.

run            `run --local`, told from the beginning to the end
serve          `local up`
redrive        redrive and watch of a run on this computer
compile_cache  the definition, compiled once
deployed       a local AWS with the pipeline deployed to it
watcher        keeps DIR/runs/ up to date
run_folder     what is left of a run
work_folder    what is known of all runs
journal        which executions began, so that those that were cut off go on
"""
