"""The local AWS as a whole.

aws     starts and stops all parts in order
origin  refuses requests from web pages
web     the web server on 127.0.0.1
"""
