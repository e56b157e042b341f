"""Policy bundles: build and cache them, and hold back one that lost restrictions."""
