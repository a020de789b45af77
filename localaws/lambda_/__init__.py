"""Lambda: functions run in processes of their own.

functions      invocations: retries, the dead-letter queue, one warm process per function
moto_api       functions as moto stores them
worker         the warm process of one function
runtime        the program of that process: loads the handler, passes it one event after the other
function_logs  a function's log in CloudWatch
undelivered    events on disk until they are handled
"""
