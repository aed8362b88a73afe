"""Packed sequences ("varlen" elsewhere): a micro-batch as one row without padding.

`layout` puts sequences side by side and says where each is, `attention` keeps them apart,
`self_attention` and `last_layer` stand in the place of transformers' own layers.
"""
