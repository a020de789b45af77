"""Lambda functions that run in processes of their own.

functions      invocations: retries, the dead-letter queue, a warm process for each function
moto_api       the functions as moto has them
worker         the process of one function
runtime        what runs in that process: loads the handler, and gives it one event after the other
function_logs  CloudWatch's log of a function
undelivered    events that are not handled yet, kept on disk
"""
