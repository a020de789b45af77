"""What runs cost, in US dollars, from AWS's list of prices.

prices    prices.json: the price of an hour of each instance type, by region and kind of job; `pipeline.py prices`
known     how long the jobs of earlier runs took
estimate  what a run would cost, before it starts; `pipeline.py cost`
serving   what the config's endpoints would cost a day
billed    what its jobs cost, from the seconds that AWS bills
machines  cores and memory of the instance types
advise    which types would do, by what the jobs used; `pipeline.py advise`
used      what the jobs used of their machines, from their logs
"""
