"""The command line: words in, files and exit codes out.

main      the parser; validate, compile, graph, schema
common    a command as it was called, and options that commands share
local     run, local
runs      runs, show, watch, redrive, promote
account   start, status, rollback
deploy    verify, plan, deploy, destroy
template  template, policy
terminal  what is printed, and how errors end a command
"""
