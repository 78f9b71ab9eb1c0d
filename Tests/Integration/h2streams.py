"""What must come of each of the 133 client streams in /shared/suites/h2-streams (the first 8 digits of their names), by RFC 9113 and RFC 7541. Words: `goaway CODE`,
`reset STREAM CODE`, `answer STREAM` (a whole 200), `alive` (SETTINGS are acknowledged, and no error), `closed` (the end, with or without a word). Found with
nghttpx 1.52 and gone through by hand; where that proxy is silent against the text (a stream below an earlier one, DATA and HEADERS behind a reset) or where the
text leaves a choice, the table has the text.
"""

OUTCOMES = {
    "alive": """
        195b4a74 1e27187b 21904e84 3e5a57c3 5748e7a2 8b165b8b 9a648e49 b5b546cf c2e6cf16 d3dec3f7 d43f2a06 e59961f7 eb733425 ef73cbf3
        f932da1a""",
    "alive, closed": """
        1ecace23 71d3c748""",
    "answer 1": """
        06bc5f79 0bb4365b 14f66ce2 17caaf73 1960fc21 1f4f3a16 23df7e04 274faf34 2b042a1d 2d8ec606 2e0c8a3c 381c81f5 38ac32c8 4528e6be 4534032d 4ddbb542
        63ae750f 6fe31187 79207f7d 7a1e1268 7ce89149 9248ee16 9af5c7a8 9b24f66b aee251cc bbda8e26 c9dfe978 ca6e1239 cb09d214 cd7b24cf dc57f642 e26ce028
        e35a4d07 e7b11cf0 e89af554 ec399d35 f5f4973e fc30ab2e fcfcfe84""",
    "closed": """
        0b39d9df""",
    "goaway COMPRESSION_ERROR": """
        105f72bc 5f3ff3c3 60a28833 979b96b7 9984490c a46866d1 adaa168d b8fffa51""",
    "goaway FLOW_CONTROL_ERROR": """
        7c954b01 f139f9c2""",
    "goaway FRAME_SIZE_ERROR": """
        37e9eab2 420b9790 44f3fc15 7d230ff7 e9d399b6""",
    "goaway FRAME_SIZE_ERROR, reset 1 FRAME_SIZE_ERROR": """
        0428d1e3 48ca2b3f""",
    "goaway FRAME_SIZE_ERROR|PROTOCOL_ERROR": """
        6e3b8913""",
    "goaway PROTOCOL_ERROR": """
        025ca25c 0d577f6e 0f805415 1368ed71 203a798d 245ba702 3376a2cd 35c27199 43df3c3a 47c5e9b3 55860c89 5aa30337 7232f506 74250393 7487341c 9223480b
        9fc2eee9 a71bcbf6 ad0d3509 b904fd3a bd25bb84 c3b0ea2a cea2c4c7 d26a0d65 d6925640 e3666122 efc0f664 f5318eb5 fbfa931f fc7e85c3 ff00f50e""",
    "goaway PROTOCOL_ERROR, alive": """
        d4d5fe38""",
    "goaway PROTOCOL_ERROR, answer 1": """
        1468c2cd""",
    "goaway PROTOCOL_ERROR, reset 1 PROTOCOL_ERROR": """
        4e612f3c""",
    "goaway STREAM_CLOSED, reset 1 STREAM_CLOSED": """
        0276779c 0df70202 1d31cd88 5a13c8e0 cd6d3880""",
    "goaway STREAM_CLOSED|PROTOCOL_ERROR, reset 1 STREAM_CLOSED": """
        1a562726""",
    "reset 1 FLOW_CONTROL_ERROR, goaway FLOW_CONTROL_ERROR": """
        e11a6036""",
    "reset 1 PROTOCOL_ERROR": """
        09f76550 1402c49b 315e6acb 35ddf061 3e297dd8 443f39c9 5f88a175 67abeaac 85a985b9 8f5fd3dd 97f2f674 9ff0fc47 bc35711c c23df1d0 ca19cba7 cd35ff68
        d9b617f6""",
}
EXPECTED = {key: words.split(", ") for words, keys in OUTCOMES.items() for key in keys.split()}
