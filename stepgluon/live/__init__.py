"""The live page: a run in the browser, while it runs.

page     serves page.html, its events and its buttons, as a WSGI application
state    what the page shows: a run as in run.json, with its config and its jobs' logs
local    the runs of a local AWS; account: those of an account
browser  opens the page
"""
