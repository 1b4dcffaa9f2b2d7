# to come


rule report:
    input:
        [],
