"""ZeroMQ sockets, one at a time, without a node behind them."""
