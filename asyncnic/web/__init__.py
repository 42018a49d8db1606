"""HTTP: metrics, health, the live page, capture, settings.

May import what the service shows of itself and what a reading is made of. It changes nothing but by the lifecycle.
"""
