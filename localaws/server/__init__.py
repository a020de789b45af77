"""The local AWS as a whole.

aws     what is started, in which order, and ended
origin  refuses what web pages send
web     the web server on 127.0.0.1
"""
