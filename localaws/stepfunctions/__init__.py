"""What moto's Step Functions lacks.

versions           versions and aliases of state machines
queue              a few executions at a time, in their order
execution_archive  what an execution was, kept on disk when it has ended
parse_cache        a definition that was parsed before is not parsed again
"""
