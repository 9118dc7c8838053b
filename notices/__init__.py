"""Telling people what they must know while they aren't looking: each condition once, by e-mail.

`conditions` finds out what lasts, `letters` says it in words, `mail` takes it to the post, `post`
does one after the other. The rows (`models.notices`) see to it that of any number of processes
one tells each condition, once.
"""
