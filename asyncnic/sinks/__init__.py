"""Sinks: the datagrams of a port go into a stream of a message broker, and none of them is unaccounted for.

    endpoint -> window -> broker (NATS JetStream, Redis)
                  |
                  when it is full the stack waits inside its burst, and the wire drops, counted

window.py is the core, sans I/O; sink.py runs it; jetstream.py and redis_stream.py speak to brokers. Of the stack only
what an asyncio endpoint gives is asked, so the room stands beside the nic, below the stacks.
"""
