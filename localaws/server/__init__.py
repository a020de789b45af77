"""The local AWS as a whole.

aws  starts and stops all parts in order
web  the web server on 127.0.0.1, which refuses requests from web pages
"""
