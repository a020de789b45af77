"""Lambda: functions run in separate processes.

functions    invocations: retries, the dead-letter queue, one warm process per function, events on disk
moto_api     functions in moto's format
worker       the warm process of one function
runtime      the program of that process: loads the handler, passes it events one by one
"""
