"""Extends moto's Step Functions.

waiting_task       a Task that starts a job or build and waits for its end
versions           versions and aliases of state machines
queue              runs a few executions at a time, in the order of their starts
execution_archive  ended executions, on disk
redrive            continues a failed execution where it failed
distributed_map    Distributed Map
child_executions   its child executions, and the pool that runs them
map_items          reads its items, and puts them into batches
map_results        writes its results
map_run            what is known of a Map Run
map_run_api        the calls about Map Runs and child executions
parse_cache        parsed definitions, on disk and in memory
jsonata            evaluates expressions as Step Functions does
jsonata_functions  the functions that Step Functions adds to JSONata
jsonata_scan       finds what Step Functions refuses in an expression
"""
