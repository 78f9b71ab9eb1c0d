import CClaw
import ClawConfig
import ClawWire
