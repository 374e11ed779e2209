"""Deep generative models: the reference implementations of the course, each formula tested.

Floors; a module imports from its own floor's package or from below, never from above, and no family another:

1. `dgm.tensor` small tensor operations; `dgm.nn` parts of networks; `dgm.prob` densities and divergences;
   `dgm.bar` the progress bar; `dgm.parallel` several processes that train one model
2. the families, such as `dgm.vae`; `dgm.data` what they learn from; `dgm.train` the one loop that trains
   them, with its `dgm.checkpoint`; none of these rooms imports another
3. `dgm.metrics` what measures them
4. `dgm.recipes` one whole model of the digits per family, trained and measured in one way, and in
   `dgm.recipes.full` one of 28x28 images; no room below imports it

Conventions: shapes are (B, ...); losses and log-densities return (B,) in nats; randomness comes from a
`generator` argument; images lie in [-1, 1], or are whole grey levels 0 .. L - 1 where a likelihood counts
them (then the model scales them itself); device and dtype follow the input. `import dgm` alone imports no
room of it.
"""
