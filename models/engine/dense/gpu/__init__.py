"""The dense engine on GPUs: cuBLAS for matrix products, Triton for all between them.

Nothing here is imported unless a model is on a GPU; without Triton, or where its kernels do not prove themselves there,
plain torch does the work (`choose`).
"""
