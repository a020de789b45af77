"""The live page: a run in the browser, while it runs.

page     serves page.html, its events and its buttons, as a WSGI application
state    what the page shows: a run as in run.json, with its config and its jobs' logs
account  the runs of an account; those of a local AWS are in local/live_runs.py
browser  opens the page
"""
