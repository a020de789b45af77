"""What ../deploy.py does it with: from a Release to an account where it runs, and back.

account         whose credentials these are, and what the account allows
stacks          CloudFormation by change sets   (stack_events: following them; changes: what one would lose)
images          which images are missing, and who builds them
plan            all that would change, as a value, in words and as JSON   (definition_diff: state by state)
destroy         the way back
"""
