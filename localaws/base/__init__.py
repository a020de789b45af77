"""Shared by all services.

requests      the service and operation of a request
quick_http    reads the heads of usual HTTP messages in little time
logs          the logs of jobs and functions in CloudWatch
clients       botocore's clients of the local AWS
api_model     checks requests against botocore's models
api_error     the error that refuses a call
environment   keeps the shell's AWS settings out
patches       replaces parts of moto, and restores them
guard         cleans up after a killed server
"""
