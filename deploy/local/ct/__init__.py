"""Certificate transparency logs of this machine: several logs of two operators, in one small process."""
