"""Deep generative models: the reference implementations of the course, each formula tested.

Floors; a module imports from its own floor's package or from below, never from above, and no family another:

1. `dgm.tensor` small tensor operations; `dgm.nn` parts of networks; `dgm.prob` densities and divergences;
   `dgm.checkpoint` and `dgm.bar`, which training stands on
2. the families, such as `dgm.vae`; `dgm.data` what they learn from; `dgm.train` the one loop that trains them
3. `dgm.metrics` what measures them

Conventions: shapes are (B, ...); losses and log-densities return (B,) in nats; randomness comes from a
`generator` argument; images lie in [-1, 1] outside `dgm.data`; device and dtype follow the input.
"""
