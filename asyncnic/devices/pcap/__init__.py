"""The chip's model on a capture file: the frames of a pcap or pcapng file, each once, without privilege or network.

May import what `devices` may. It writes no capture (`asyncnic.pcapng` does) and keeps no pace: frames come as fast as
they are taken.
"""
