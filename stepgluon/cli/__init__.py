"""The command line.

main      the parser; validate, compile, graph, schema
common    a parsed command, and options that commands share
local     run, local
runs      start, status, rollback; runs, show, watch, redrive, promote
deploy    verify, plan, deploy, destroy, template
terminal  prints results, progress and errors
"""
