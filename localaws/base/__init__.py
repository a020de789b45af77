"""What all services share.

requests      which service and operation a request is for
in_process    calls a WSGI application without a socket
clients       boto3's clients of the local AWS
api_model     botocore's models: what is wrong with a request
environment   keeps the shell's AWS settings out
patches       replaces parts of moto, and puts them back
guard         ends the processes that a killed server leaves
"""
