# The report.


include: "inputs/report.smk"


rule render_report:
    input:
        metrics_files=lambda w: [
            f"results/{w.study}/metrics/{topic}.json" for topic in topics(w)
        ],
        data=test_data,
        claims=lambda w: (
            f"config/claims/{study(w).claims}.yaml" if study(w).claims else []
        ),
        tables=report_tables,
        catalogue=CATALOGUE,
        scores=lambda w: [
            made(rules.summarise_scores.output.shown, w, task=name)
            for name in study(w).tasks
        ],
        survey=lambda w: f"results/{w.study}/survey.csv" if study(w).survey else [],
        curve="results/{study}/duty_cycle.csv",
        schedule="results/{study}/schedule.csv",
        notes="results/{study}/host_notes.json",
        histories=lambda w: [
            f"models/{w.study}/s{first_seed(w)}/{name}.history.csv"
            for name in [
                *(name for name, v in study(w).trained.items() if v.kind != "pruned"),
                *(
                    f"{name}.{scheme}"
                    for name, scheme in study(w).models_by("train_quantization_aware")
                ),
            ]
        ],
        templates=REPORT_FILES,
    output:
        folder=directory("results/{study}/report"),
    log:
        "logs/{study}/render_report.log",
    benchmark:
        "benchmarks/{study}/render_report.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        title=lambda w: study(w).title,
        paper=lambda w: study(w).paper,
        data_note=lambda w: study(w).data_note,
        engine=lambda w: (
            "paper-split" if has_engine(w, "paper-split") else study(w).engine
        ),
        board=lambda w: study(w).board,
        budget=CONFIG.budget,
        training_threads=CONFIG.training_threads,
        seeds=lambda w: list(budget(w).seeds),
        code=code("render_report"),
    message:
        "{wildcards.study}: rendering the report"
    script:
        "../scripts/render_report.py"


rule report:
    input:
        expand("results/{study}/report", study=STUDIES),
        expand("build/{study}/esp-idf", study=STUDIES if find_idf() else []),
    message:
        "Reports: {input}"
