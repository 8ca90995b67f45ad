"""The pages: the API's answers as HTML."""
