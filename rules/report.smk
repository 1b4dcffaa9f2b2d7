# The report.


include: "inputs/report.smk"


rule render_report:
    input:
        metrics_files=metrics_files,
        data=test_data,
        claims=lambda w: (
            f"config/claims/{study(w).claims}.yaml" if study(w).claims else []
        ),
        tables=report_tables,
        catalogue=CATALOGUE,
        survey=lambda w: (
            made(rules.survey_networks.output.table, w) if study(w).survey else []
        ),
        curve=rules.model_energy.output.curve,
        schedule=rules.model_energy.output.schedule,
        notes=rules.time_host.output.notes,
        histories=lambda w: [
            made(HISTORY, w, seed=first_seed(w), variant=name)
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
        folder=directory("results/{study}/{budget}/report"),
    log:
        "logs/{study}/{budget}/render_report.log",
    benchmark:
        "benchmarks/{study}/{budget}/render_report.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        # Made with the tasks' metrics. As inputs these folders would look newer than the report after `dvc pull`.
        scores=lambda w: [
            made(rules.summarise_scores.output.shown, w, task=name)
            for name in study(w).tasks
        ],
        title=lambda w: study(w).title,
        paper=lambda w: study(w).paper,
        data_note=lambda w: study(w).data_note,
        engine=lambda w: (
            "paper-split" if has_engine(w, "paper-split") else study(w).engine
        ),
        board=lambda w: study(w).board,
        budget=lambda w: w.budget,
        training_threads=CONFIG.training_threads,
        seeds=lambda w: list(budget(w).seeds),
        code=code("render_report"),
    message:
        "{wildcards.study} ({wildcards.budget}): rendering the report"
    script:
        "../scripts/render_report.py"


rule report:
    input:
        expand(rules.render_report.output.folder, study=STUDIES, budget=CONFIG.budget),
        expand(
            rules.build_esp_idf.output.folder,
            study=STUDIES if find_idf() else [],
            budget=CONFIG.budget,
        ),
    message:
        "Reports: {input}"
