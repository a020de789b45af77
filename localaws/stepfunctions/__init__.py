"""What moto's Step Functions lacks.

versions           versions and aliases of state machines
queue              a few executions at a time, in their order
execution_archive  what an execution was, kept on disk when it has ended
redrive            an execution that failed continues where it failed
parse_cache        a definition that was parsed before is not parsed again
jsonata            evaluates an expression as Step Functions does
jsonata_fields     where expressions stand in a definition, and what they may use there
jsonata_functions  the functions that Step Functions adds to JSONata
jsonata_scan       which variables an expression uses, and what is refused in it
"""
