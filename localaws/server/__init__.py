"""The local AWS as a whole.

aws  what is started, in which order, and ended
web  the web server on 127.0.0.1
"""
