"""The command line.

main      the parser; validate, compile, graph, schema
common    a parsed command, and options that commands share
local     run, local
runs      runs, show, watch, redrive, promote
account   start, status, rollback
deploy    verify, plan, deploy, destroy
template  template, policy
terminal  prints results, progress and errors
"""
