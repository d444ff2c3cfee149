"""`run_udf`: which code, on which values, and what is known of the result before it is run.

The code itself is run by `udf.user_code`, in the sandbox of a worker.
"""
