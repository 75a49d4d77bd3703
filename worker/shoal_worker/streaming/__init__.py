"""One model behind a stream of NATS JetStream: messages in, labels out, nothing lost and nothing twice."""
