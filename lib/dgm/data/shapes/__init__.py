"""Captioned coloured shapes: pictures whose every factor is known and can be read back.

- ``factors``   what varies: names and colours, sampling, the held-out pairs (shape i never in colour i)
- ``draw``      signed distances, anti-aliased coverage, painting
- ``captions``  factors to words to tokens, and back
- ``single``    one object: ``render``, ``shapes``
- ``scene``     two objects and how they stand: ``render_scenes``, ``scenes``
- ``clip``      eight frames of one moving object: ``render_clips``, ``clips``
- ``oracle``    the factors read back from pixels: ``Oracle``, ``SceneOracle``, ``ClipOracle``

``shapes(1000, size=16, generator=g)`` gives images in [-1, 1] with factors, captions and tokens; so do
``scenes`` and ``clips``. The oracle judges what a model drew, with nothing learnt:
``Oracle(16).read(x).factors == asked_for``.
"""

from dgm.data.shapes.captions import (
    MAX_TOKENS,
    PAD,
    VOCABULARY,
    describe,
    describe_clips,
    describe_scenes,
    detokenise,
    parse,
    parse_clips,
    parse_scenes,
    tokenise,
)
from dgm.data.shapes.clip import FRAMES, clips, render_clips, sample_clip_jitter
from dgm.data.shapes.factors import (
    BACKGROUNDS,
    CLIP_FIELDS,
    COLOURS,
    COLUMNS,
    FIELDS,
    MOTIONS,
    RELATIONS,
    ROWS,
    SCENE_FIELDS,
    SHAPES,
    SIZES,
    UNSAID,
    ShapeSet,
    all_clip_factors,
    all_factors,
    all_scene_factors,
    canonical_scenes,
    forget,
    is_held_out,
    sample_clip_factors,
    sample_factors,
    sample_scene_factors,
)
from dgm.data.shapes.oracle import CLEAN_RMS, ClipOracle, Oracle, Reading, SceneOracle
from dgm.data.shapes.scene import render_scenes, sample_scene_jitter, scenes
from dgm.data.shapes.single import render, sample_jitter, shapes

__all__ = [
    "BACKGROUNDS",
    "CLEAN_RMS",
    "CLIP_FIELDS",
    "COLOURS",
    "COLUMNS",
    "FIELDS",
    "FRAMES",
    "MAX_TOKENS",
    "MOTIONS",
    "PAD",
    "RELATIONS",
    "ROWS",
    "SCENE_FIELDS",
    "SHAPES",
    "SIZES",
    "UNSAID",
    "VOCABULARY",
    "ClipOracle",
    "Oracle",
    "Reading",
    "SceneOracle",
    "ShapeSet",
    "all_clip_factors",
    "all_factors",
    "all_scene_factors",
    "canonical_scenes",
    "clips",
    "describe",
    "describe_clips",
    "describe_scenes",
    "detokenise",
    "forget",
    "is_held_out",
    "parse",
    "parse_clips",
    "parse_scenes",
    "render",
    "render_clips",
    "render_scenes",
    "sample_clip_factors",
    "sample_clip_jitter",
    "sample_factors",
    "sample_jitter",
    "sample_scene_factors",
    "sample_scene_jitter",
    "scenes",
    "shapes",
    "tokenise",
]
