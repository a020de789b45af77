"""The command line.

main        runs one command
parser      the words of every command
common      a parsed command
definition  validate, compile, graph, schema
completion  completion
init        init
local       check, doctor, run, local
runs        runs, show, watch, redrive, promote
results     logs, fetch, compare, clean
cost        cost, prices
account     start, status, rollback
deploy      verify, plan, deploy, destroy, template
terminal    prints results, progress and errors
"""
