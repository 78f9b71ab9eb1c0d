import CClaw
import ClawWire
