"""What moto's Step Functions lacks.

versions           versions and aliases of state machines
queue              a few executions at a time, in the order of their starts
execution_archive  executions that have ended, on disk
redrive            a failed execution continues where it failed
parse_cache        parsed definitions, on disk and in memory
jsonata            evaluates an expression as Step Functions does
jsonata_functions  the functions that Step Functions adds to JSONata
jsonata_scan       which variables an expression uses, and what Step Functions refuses
"""
