// The 826 models the program knows without a file. Made by scripts/catalogue.py; do not edit. CatalogueText.swift says what the columns mean.
//
// Source: https://github.com/anomalyco/models.dev, commit f3fc692299671838c7c65fd8126bf84d81a2e817 of 2026-07-02, trimmed to the
// providers of this gateway. Licence: MIT, Copyright (c) 2025 models.dev (the text is in NOTICE). Kept by volunteers: figures to plan with, not an
// invoice.

enum CatalogueData {
    static let text: StaticString = """
anthropic	claude-3-5-sonnet-20240620	200000		8192	3,15,0.3,3.75		TFA	tip>t			2024-06-20	deprecated
anthropic	claude-3-5-sonnet-20241022	200000		8192	3,15,0.3,3.75		TFA	tip>t			2024-10-22	deprecated
anthropic	claude-3-7-sonnet-20250219	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-02-19	deprecated
anthropic	claude-3-haiku-20240307	200000		4096	0.25,1.25,0.03,0.3		TFA	tip>t			2024-03-13	deprecated
anthropic	claude-3-opus-20240229	200000		4096	15,75,1.5,18.75		TFA	tip>t			2024-02-29	deprecated
anthropic	claude-3-sonnet-20240229	200000		4096	3,15,0.3,0.3		TFA	tip>t			2024-03-04	deprecated
anthropic	claude-fable-5	1000000		128000	10,50,1,12.5		TRfA	tip>t	low/medium/high/xhigh/max		2026-06-09
anthropic	claude-haiku-4-5	200000		64000	1,5,0.1,1.25		TRFA	tip>t	1024..		2025-10-15
anthropic	claude-haiku-4-5-20251001	200000		64000	1,5,0.1,1.25		TRFA	tip>t	1024..		2025-10-15
anthropic	claude-opus-4-0	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-05-22
anthropic	claude-opus-4-1	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-08-05
anthropic	claude-opus-4-1-20250805	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-08-05
anthropic	claude-opus-4-20250514	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-05-22
anthropic	claude-opus-4-5	200000		64000	5,25,0.5,6.25		TRFA	tip>t	low/medium/high,1024..		2025-11-24
anthropic	claude-opus-4-5-20251101	200000		64000	5,25,0.5,6.25		TRFA	tip>t	low/medium/high,1024..		2025-11-01
anthropic	claude-opus-4-6	1000000		128000	5,25,0.5,6.25		TRFA	tip>t	low/medium/high/max,1024..		2026-02-05
anthropic	claude-opus-4-7	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-04-16
anthropic	claude-opus-4-8	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
anthropic	claude-sonnet-4-0	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-05-22
anthropic	claude-sonnet-4-20250514	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-05-22
anthropic	claude-sonnet-4-5	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-09-29
anthropic	claude-sonnet-4-5-20250929	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-09-29
anthropic	claude-sonnet-4-6	1000000		64000	3,15,0.3,3.75		TRFA	tip>t	low/medium/high/max,1024..		2026-02-17
anthropic	claude-sonnet-5	1000000		128000	2,10,0.2,2.5		TRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
azure	claude-fable-5	1000000		128000	10,50,1,12.5		TRfA	tip>t	low/medium/high/xhigh/max		2026-06-09
azure	claude-haiku-4-5	200000		64000	1,5,0.1,1.25		TSRFA	tip>t	1024..		2025-11-18
azure	claude-opus-4-1	200000		32000	15,75,1.5,18.75		TSRFA	tip>t	1024..		2025-11-18
azure	claude-opus-4-5	200000		64000	5,25,0.5,6.25		TRFA	tip>t	low/medium/high,1024..		2025-11-24
azure	claude-opus-4-6	200000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TRFA	tip>t	low/medium/high/max,1024..		2026-02-05
azure	claude-opus-4-8	200000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TRFA	tip>t	low/medium/high/max		2026-05-28
azure	claude-sonnet-4-5	200000		64000	3,15,0.3,3.75		TSRFA	tip>t	1024..		2025-11-18
azure	claude-sonnet-4-6	1000000		64000	3,15,0.3,3.75		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-17
azure	claude-sonnet-5	1000000		128000	2,10,0.2,2.5		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30	beta
azure	codestral-2501	256000		256000	0.3,0.9		TF				2025-01-01
azure	codex-mini	200000		100000	1.5,6,0.375		TRfA		low/medium/high		2025-05-16
azure	cohere-command-a	256000		8000	2.5,10		TRF				2025-03-13
azure	cohere-command-r-08-2024	128000		4000	0.15,0.6		TF				2024-08-30
azure	cohere-command-r-plus-08-2024	128000		4000	2.5,10		TF				2024-08-30
azure	cohere-embed-v-4-0	128000			0.12,0		EfA	ti>t		1536	2025-04-15
azure	cohere-embed-v3-english	512			0.1,0		Ef			1024	2023-11-07
azure	cohere-embed-v3-multilingual	512			0.1,0		Ef			1024	2023-11-07
azure	deepseek-r1	163840		163840	1.35,5.4		RF				2025-01-20
azure	deepseek-r1-0528	163840		163840	1.35,5.4		TRF				2025-05-28
azure	deepseek-v3-0324	131072		131072	1.14,4.56		TF				2025-03-24
azure	deepseek-v3.1	131072		131072	0.56,1.68		TRF				2025-08-21
azure	deepseek-v3.2	128000		128000	0.58,1.68		TRF				2025-12-01
azure	deepseek-v3.2-speciale	128000		128000	0.58,1.68		RF				2025-12-01
azure	deepseek-v4-flash	1000000		384000	0.19,0.51		SRF				2026-04-24
azure	deepseek-v4-pro	1000000		384000	1.74,3.48		SRF				2026-04-24
azure	gpt-3.5-turbo-0125	16384		16384	0.5,1.5		F				2024-01-25
azure	gpt-3.5-turbo-0301	4096		4096	1.5,2		F				2023-03-01
azure	gpt-3.5-turbo-0613	16384		16384	3,4		F				2023-06-13
azure	gpt-3.5-turbo-1106	16384		16384	1,2		F				2023-11-06
azure	gpt-3.5-turbo-instruct	4096		4096	1.5,2		F				2023-09-21
azure	gpt-4	8192		8192	60,120		TF				2023-03-14
azure	gpt-4-32k	32768		32768	60,120		TF				2023-03-14
azure	gpt-4-turbo	128000		4096	10,30		TFA	ti>t			2023-11-06
azure	gpt-4-turbo-vision	128000		4096	10,30		TFA	ti>t			2023-11-06
azure	gpt-4.1	1047576		32768	2,8,0.5		TFA	ti>t			2025-04-14
azure	gpt-4.1-mini	1047576		32768	0.4,1.6,0.1		TFA	ti>t			2025-04-14
azure	gpt-4.1-nano	1047576		32768	0.1,0.4,0.025		TFA	ti>t			2025-04-14
azure	gpt-4o	128000		16384	2.5,10,1.25		TFA	ti>t			2024-05-13
azure	gpt-4o-mini	128000		16384	0.15,0.6,0.075		TFA	ti>t			2024-07-18
azure	gpt-5	272000		128000	1.25,10,0.13		TRfA	ti>t	minimal/low/medium/high		2025-08-07
azure	gpt-5-chat	128000		16384	1.25,10,0.13		RfA	ti>t			2025-08-07
azure	gpt-5-codex	400000		128000	1.25,10,0.13		TRf	ti>t	low/medium/high		2025-09-15
azure	gpt-5-mini	272000		128000	0.25,2,0.03		TRfA	ti>t	minimal/low/medium/high		2025-08-07
azure	gpt-5-nano	272000		128000	0.05,0.4,0.01		TRfA	ti>t	minimal/low/medium/high		2025-08-07
azure	gpt-5-pro	400000		272000	15,120		TSRfA	ti>t	high		2025-10-06
azure	gpt-5.1	272000		128000	1.25,10,0.125		TSRfA	tia>tia	none/low/medium/high		2025-11-14
azure	gpt-5.1-chat	128000		16384	1.25,10,0.125		TSRfA	tia>tia	medium		2025-11-14
azure	gpt-5.1-codex	400000		128000	1.25,10,0.125		TSRf	tia>tia	low/medium/high		2025-11-14
azure	gpt-5.1-codex-max	400000		128000	1.25,10,0.125		TSRfA	ti>t	low/medium/high/xhigh		2025-11-13
azure	gpt-5.1-codex-mini	400000		128000	0.25,2,0.025		TSRf	ti>t	low/medium/high		2025-11-14
azure	gpt-5.2	400000		128000	1.75,14,0.125		TSRfA	ti>t	none/low/medium/high/xhigh		2025-12-11
azure	gpt-5.2-chat	128000		16384	1.75,14,0.175		TSRfA	ti>t	medium		2025-12-11
azure	gpt-5.2-codex	400000		128000	1.75,14,0.175		TSRf	ti>t	low/medium/high/xhigh		2026-01-14
azure	gpt-5.3-chat	128000		16384	1.75,14,0.175		TSRfA	ti>t	medium		2026-03-03
azure	gpt-5.3-codex	400000		128000	1.75,14,0.175		TSRf	ti>t	none/low/medium/high/xhigh		2026-02-24
azure	gpt-5.4	1050000	922000	128000	2.5,15,0.25	272000:5,22.5,0.5	TSRfA	tip>t	none/low/medium/high/xhigh		2026-03-05
azure	gpt-5.4-mini	400000	272000	128000	0.75,4.5,0.075		TSRfA	tip>t	none/low/medium/high/xhigh		2026-03-17
azure	gpt-5.4-nano	400000	272000	128000	0.2,1.25,0.02		TSRfA	tip>t	none/low/medium/high/xhigh		2026-03-17
azure	gpt-5.4-pro	1050000	922000	128000	30,180	272000:60,270	TsRfA	ti>t	medium/high/xhigh		2026-03-05
azure	gpt-5.5	1050000	922000	128000	5,30,0.5	272000:10,45,1	TSRfA	tip>t	none/low/medium/high/xhigh		2026-04-24
azure	gpt-image-1.5				5,32,1.25		fA	ti>ti			2025-11-25
azure	grok-4-1-fast-non-reasoning	128000		8192	0.2,0.5,0.05		TFA	ti>t			2025-06-27	beta
azure	grok-4-1-fast-reasoning	128000		8192	0.2,0.5,0.05		TRFA	ti>t			2025-06-27	beta
azure	grok-4-20-non-reasoning	262000		8192	2,6		TF				2026-04-08	beta
azure	grok-4-20-reasoning	262000		8192	2,6		TRF				2026-04-08	beta
azure	grok-4-fast-reasoning	2000000		30000	0.2,0.5,0.05		TRFA	ti>t			2025-09-19
azure	kimi-k2-thinking	262144		262144	0.6,2.5,0.15		TRF				2025-11-06
azure	kimi-k2.5	262144		262144	0.6,3		TSRF	ti>t	toggle		2026-02-06
azure	kimi-k2.6	262144		262144	0.95,4		TSRF	ti>t	toggle		2026-04-22
azure	llama-3.2-11b-vision-instruct	128000		8192	0.37,0.37		TFA	ti>t			2024-09-25
azure	llama-3.2-90b-vision-instruct	128000		8192	2.04,2.04		TFA	ti>t			2024-09-25
azure	llama-3.3-70b-instruct	128000		32768	0.71,0.71		TF				2024-12-06
azure	llama-4-maverick-17b-128e-instruct-fp8	128000		8192	0.25,1		TFA	ti>t			2025-04-05
azure	llama-4-scout-17b-16e-instruct	128000		8192	0.2,0.78		TFA	ti>t			2025-04-05
azure	meta-llama-3-70b-instruct	8192		2048	2.68,3.54		F				2024-04-18
azure	meta-llama-3-8b-instruct	8192		2048	0.3,0.61		F				2024-04-18
azure	meta-llama-3.1-405b-instruct	128000		32768	5.33,16		TF				2024-07-23
azure	meta-llama-3.1-70b-instruct	128000		32768	2.68,3.54		TF				2024-07-23
azure	meta-llama-3.1-8b-instruct	128000		32768	0.3,0.61		TF				2024-07-23
azure	ministral-3b	128000		8192	0.04,0.04		TF				2024-10-22
azure	mistral-large-2411	128000		32768	2,6		TF				2024-11-01
azure	mistral-medium-2505	128000		128000	0.4,2		TFA	ti>t			2025-05-07
azure	mistral-nemo	128000		128000	0.15,0.15		TF				2024-07-18
azure	mistral-small-2503	128000		32768	0.1,0.3		TFA	ti>t			2025-03-01
azure	model-router	128000		16384	0.14,0		TA	ti>t			2025-05-19
azure	o1	200000		100000	15,60,7.5		TRf	ti>t	low/medium/high		2024-12-05
azure	o1-mini	128000		65536	1.1,4.4,0.55		TRf				2024-09-12
azure	o3	200000		100000	2,8,0.5		TRfA	ti>t	low/medium/high		2025-04-16
azure	o3-mini	200000		100000	1.1,4.4,0.55		TRf		low/medium/high		2024-12-20
azure	o4-mini	200000		100000	1.1,4.4,0.275		TRfA	ti>t	low/medium/high		2025-04-16
azure	phi-3-medium-128k-instruct	128000		4096	0.17,0.68		F				2024-04-23
azure	phi-3-medium-4k-instruct	4096		1024	0.17,0.68		F				2024-04-23
azure	phi-3-mini-128k-instruct	128000		4096	0.13,0.52		F				2024-04-23
azure	phi-3-mini-4k-instruct	4096		1024	0.13,0.52		F				2024-04-23
azure	phi-3-small-128k-instruct	128000		4096	0.15,0.6		F				2024-04-23
azure	phi-3-small-8k-instruct	8192		2048	0.15,0.6		F				2024-04-23
azure	phi-3.5-mini-instruct	128000		4096	0.13,0.52		F				2024-08-20
azure	phi-3.5-moe-instruct	128000		4096	0.16,0.64		F				2024-08-20
azure	phi-4	128000		4096	0.125,0.5		F				2024-12-11
azure	phi-4-mini	128000		4096	0.075,0.3		TF				2024-12-11
azure	phi-4-mini-reasoning	128000		4096	0.075,0.3		TRF				2024-12-11
azure	phi-4-multimodal	128000		4096	0.08,0.32,,,,,4		FA	tia>t			2024-12-11
azure	phi-4-reasoning	32000		4096	0.125,0.5		RF				2024-12-11
azure	phi-4-reasoning-plus	32000		4096	0.125,0.5		RF				2024-12-11
azure	text-embedding-3-large	8191			0.13,0		E			3072	2024-01-25
azure	text-embedding-3-small	8191			0.02,0		E			1536	2024-01-25
azure	text-embedding-ada-002	8192			0.1,0		E			1536	2022-12-15
bedrock	amazon.nova-2-lite-v1:0	128000		4096	0.33,2.75		TRF	tiv>t	toggle,low/medium/high		2024-12-01
bedrock	amazon.nova-lite-v1:0	300000		8192	0.06,0.24,0.015		TFA	tiv>t			2024-12-03
bedrock	amazon.nova-micro-v1:0	128000		8192	0.035,0.14,0.00875		TF				2024-12-03
bedrock	amazon.nova-pro-v1:0	300000		8192	0.8,3.2,0.2		TFA	tiv>t			2024-12-03
bedrock	anthropic.claude-haiku-4-5-20251001-v1:0	200000		64000	1,5,0.1,1.25		TSRFA	tip>t	1024..		2025-10-15
bedrock	anthropic.claude-opus-4-1-20250805-v1:0	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-08-05
bedrock	anthropic.claude-opus-4-5-20251101-v1:0	200000		64000	5,25,0.5,6.25		TSRFA	tip>t	low/medium/high,1024..		2025-11-24
bedrock	anthropic.claude-opus-4-6-v1	1000000		128000	5,25,0.5,6.25		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-05
bedrock	anthropic.claude-opus-4-7	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-04-16
bedrock	anthropic.claude-opus-4-8	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
bedrock	anthropic.claude-sonnet-4-5-20250929-v1:0	200000		64000	3,15,0.3,3.75		TSRFA	tip>t	1024..		2025-09-29
bedrock	anthropic.claude-sonnet-4-6	1000000		64000	3,15,0.3,3.75		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-17
bedrock	anthropic.claude-sonnet-5	1000000		128000	2,10,0.2,2.5		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
bedrock	au.anthropic.claude-haiku-4-5-20251001-v1:0	200000		64000	1,5,0.1,1.25		TSRFA	tip>t	1024..		2025-10-15
bedrock	au.anthropic.claude-opus-4-6-v1	1000000		128000	16.5,82.5,1.65,20.625		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-05
bedrock	au.anthropic.claude-opus-4-8	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
bedrock	au.anthropic.claude-sonnet-4-5-20250929-v1:0	200000		64000	3,15,0.3,3.75		TSRFA	tip>t	1024..		2025-09-29
bedrock	au.anthropic.claude-sonnet-4-6	1000000		128000	3.3,16.5,0.33,4.125		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-17
bedrock	au.anthropic.claude-sonnet-5	1000000		128000	2,10,0.2,2.5		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
bedrock	deepseek.r1-v1:0	128000		32768	1.35,5.4		TRF				2025-01-20
bedrock	deepseek.v3-v1:0	163840		81920	0.58,1.68		TSRF				2025-09-18
bedrock	deepseek.v3.2	163840		81920	0.62,1.85		TSRF				2026-02-06
bedrock	eu.anthropic.claude-fable-5	1000000		128000	11,55,1.1,13.75		TRfA	ti>t	low/medium/high/xhigh/max		2026-06-09
bedrock	eu.anthropic.claude-haiku-4-5-20251001-v1:0	200000		64000	1.1,5.5,0.11,1.375		TSRFA	tip>t	1024..		2025-10-15
bedrock	eu.anthropic.claude-opus-4-5-20251101-v1:0	200000		64000	5.5,27.5,0.55,6.875		TSRFA	tip>t	low/medium/high,1024..		2025-11-24
bedrock	eu.anthropic.claude-opus-4-6-v1	1000000		128000	5.5,27.5,0.55,6.875		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-05
bedrock	eu.anthropic.claude-opus-4-7	1000000		128000	5.5,27.5,0.55,6.875		TRfA	tip>t	low/medium/high/xhigh/max		2026-04-16
bedrock	eu.anthropic.claude-opus-4-8	1000000		128000	5.5,27.5,0.55,6.875		TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
bedrock	eu.anthropic.claude-sonnet-4-5-20250929-v1:0	200000		64000	3.3,16.5,0.33,4.125		TSRFA	tip>t	1024..		2025-09-29
bedrock	eu.anthropic.claude-sonnet-4-6	1000000		64000	3.3,16.5,0.33,4.125		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-17
bedrock	eu.anthropic.claude-sonnet-5	1000000		128000	2.2,11,0.22,2.75		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
bedrock	global.anthropic.claude-fable-5	1000000		128000	10,50,1,12.5		TRfA	ti>t	low/medium/high/xhigh/max		2026-06-09
bedrock	global.anthropic.claude-haiku-4-5-20251001-v1:0	200000		64000	1,5,0.1,1.25		TSRFA	tip>t	1024..		2025-10-15
bedrock	global.anthropic.claude-opus-4-5-20251101-v1:0	200000		64000	5,25,0.5,6.25		TSRFA	tip>t	low/medium/high,1024..		2025-11-24
bedrock	global.anthropic.claude-opus-4-6-v1	1000000		128000	5,25,0.5,6.25		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-05
bedrock	global.anthropic.claude-opus-4-7	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-04-16
bedrock	global.anthropic.claude-opus-4-8	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
bedrock	global.anthropic.claude-sonnet-4-5-20250929-v1:0	200000		64000	3,15,0.3,3.75		TSRFA	tip>t	1024..		2025-09-29
bedrock	global.anthropic.claude-sonnet-4-6	1000000		64000	3,15,0.3,3.75		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-17
bedrock	global.anthropic.claude-sonnet-5	1000000		128000	2,10,0.2,2.5		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
bedrock	google.gemma-3-12b-it	131072		8192	0.05,0.1		SF	ti>t			2024-12-01
bedrock	google.gemma-3-27b-it	202752		8192	0.12,0.2		TSFA	ti>t			2025-07-27
bedrock	google.gemma-3-4b-it	128000		4096	0.04,0.08		TF	ti>t			2024-12-01
bedrock	jp.anthropic.claude-opus-4-7	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-04-16
bedrock	jp.anthropic.claude-opus-4-8	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
bedrock	jp.anthropic.claude-sonnet-4-5-20250929-v1:0	200000		64000	3,15,0.3,3.75		TSRFA	tip>t	1024..		2025-09-29
bedrock	jp.anthropic.claude-sonnet-4-6	1000000		64000	3,15,0.3,3.75		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-17
bedrock	jp.anthropic.claude-sonnet-5	1000000		128000	2,10,0.2,2.5		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
bedrock	meta.llama3-1-70b-instruct-v1:0	128000		4096	0.72,0.72		TF				2024-07-23
bedrock	meta.llama3-1-8b-instruct-v1:0	128000		4096	0.22,0.22		TF				2024-07-23
bedrock	meta.llama3-3-70b-instruct-v1:0	128000		4096	0.72,0.72		TF				2024-12-06
bedrock	meta.llama4-maverick-17b-instruct-v1:0	1000000		16384	0.24,0.97		TFA	ti>t			2025-04-05
bedrock	meta.llama4-scout-17b-instruct-v1:0	3500000		16384	0.17,0.66		TFA	ti>t			2025-04-05
bedrock	minimax.minimax-m2	204608		128000	0.3,1.2		TsRF				2025-10-27
bedrock	minimax.minimax-m2.1	204800		131072	0.3,1.2		TsRF				2025-12-23
bedrock	minimax.minimax-m2.5	196608		98304	0.3,1.2		TsRF				2026-03-18
bedrock	mistral.devstral-2-123b	256000		8192	0.4,2		TSF				2026-02-17
bedrock	mistral.magistral-small-2509	128000		40000	0.5,1.5		TSRF	ti>t			2025-12-02
bedrock	mistral.ministral-3-14b-instruct	128000		4096	0.2,0.2		TSF				2024-12-01
bedrock	mistral.ministral-3-3b-instruct	256000		8192	0.1,0.1		TSF	ti>t			2025-12-02
bedrock	mistral.ministral-3-8b-instruct	128000		4096	0.15,0.15		TSF				2024-12-01
bedrock	mistral.mistral-large-3-675b-instruct	256000		8192	0.5,1.5		TSF	ti>t			2025-12-02
bedrock	mistral.pixtral-large-2502-v1:0	128000		8192	2,6		TF	ti>t			2025-04-08
bedrock	mistral.voxtral-mini-3b-2507	128000		4096	0.04,0.04		TSF	ta>t			2024-12-01
bedrock	mistral.voxtral-small-24b-2507	32000		8192	0.15,0.35		TSFA	ta>t			2025-07-01
bedrock	moonshot.kimi-k2-thinking	262143		16000	0.6,2.5		TSRF				2025-12-02
bedrock	moonshotai.kimi-k2.5	262143		16000	0.6,3		TSRF	ti>t			2026-02-06
bedrock	nvidia.nemotron-nano-12b-v2	128000		4096	0.2,0.6		TSF	ti>t			2024-12-01
bedrock	nvidia.nemotron-nano-3-30b	128000		4096	0.06,0.24		TSRF				2025-12-23
bedrock	nvidia.nemotron-nano-9b-v2	128000		4096	0.06,0.23		TSF				2024-12-01
bedrock	nvidia.nemotron-super-3-120b	262144		131072	0.15,0.65		TSRF				2026-03-11
bedrock	openai.gpt-5.4	272000		128000	2.75,16.5,0.275		TSRfA	tip>t	none/low/medium/high/xhigh		2026-03-05
bedrock	openai.gpt-5.5	272000		128000	5.5,33,0.55		TSRfA	tip>t	none/low/medium/high/xhigh		2026-04-23
bedrock	openai.gpt-oss-120b	128000		16384	0.15,0.6		TSRF		low/medium/high		2025-08-05
bedrock	openai.gpt-oss-120b-1:0	128000		16384	0.15,0.6		TSRF		low/medium/high		2025-08-05
bedrock	openai.gpt-oss-20b	128000		16384	0.07,0.3		TSRF		low/medium/high		2025-08-05
bedrock	openai.gpt-oss-20b-1:0	128000		16384	0.07,0.3		TSRF		low/medium/high		2025-08-05
bedrock	qwen.qwen3-235b-a22b-2507-v1:0	262144		131072	0.22,0.88		TSF				2025-09-18
bedrock	qwen.qwen3-32b-v1:0	16384		16384	0.15,0.6		TSRF				2025-09-18
bedrock	qwen.qwen3-coder-30b-a3b-v1:0	262144		131072	0.15,0.6		TSF				2025-09-18
bedrock	qwen.qwen3-coder-480b-a35b-v1:0	131072		65536	0.22,1.8		TSF				2025-09-18
bedrock	qwen.qwen3-coder-next	131072		65536	0.22,1.8		TSRF				2026-02-06
bedrock	qwen.qwen3-next-80b-a3b	262000		262000	0.14,1.4		TSF				2025-09-18
bedrock	qwen.qwen3-vl-235b-a22b	262000		262000	0.3,1.5		TSFA	ti>t			2025-10-04
bedrock	us.anthropic.claude-fable-5	1000000		128000	10,50,1,12.5		TRfA	ti>t	low/medium/high/xhigh/max		2026-06-09
bedrock	us.anthropic.claude-haiku-4-5-20251001-v1:0	200000		64000	1,5,0.1,1.25		TSRFA	tip>t	1024..		2025-10-15
bedrock	us.anthropic.claude-opus-4-1-20250805-v1:0	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-08-05
bedrock	us.anthropic.claude-opus-4-5-20251101-v1:0	200000		64000	5,25,0.5,6.25		TSRFA	tip>t	low/medium/high,1024..		2025-11-24
bedrock	us.anthropic.claude-opus-4-6-v1	1000000		128000	5,25,0.5,6.25		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-05
bedrock	us.anthropic.claude-opus-4-7	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-04-16
bedrock	us.anthropic.claude-opus-4-8	1000000		128000	5,25,0.5,6.25		TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
bedrock	us.anthropic.claude-sonnet-4-5-20250929-v1:0	200000		64000	3,15,0.3,3.75		TSRFA	tip>t	1024..		2025-09-29
bedrock	us.anthropic.claude-sonnet-4-6	1000000		64000	3,15,0.3,3.75		TSRFA	tip>t	low/medium/high/max,1024..		2026-02-17
bedrock	us.anthropic.claude-sonnet-5	1000000		128000	2,10,0.2,2.5		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
bedrock	us.deepseek.r1-v1:0	128000		32768	1.35,5.4		TRF				2025-01-20
bedrock	us.meta.llama4-maverick-17b-instruct-v1:0	1000000		16384	0.24,0.97		TFA	ti>t			2025-04-05
bedrock	us.meta.llama4-scout-17b-instruct-v1:0	3500000		16384	0.17,0.66		TFA	ti>t			2025-04-05
bedrock	writer.palmyra-x4-v1:0	122880		8192	2.5,10		TRF				2025-04-28
bedrock	writer.palmyra-x5-v1:0	1040000		8192	0.6,6		TRF				2025-04-28
bedrock	xai.grok-4.3	1000000		131072	1.25,2.5,0.2		TSRFA	ti>t	none/low/medium/high		2026-04-17
bedrock	zai.glm-4.7	204800		131072	0.6,2.2		TSRF				2025-12-22
bedrock	zai.glm-4.7-flash	200000		131072	0.07,0.4		TSRF				2026-01-19
bedrock	zai.glm-5	202752		101376	1,3.2		TSRF				2026-03-18
cerebras	gpt-oss-120b	131072		40960	0.35,0.75		TSRF		low/medium/high		2025-08-05
cerebras	zai-glm-4.7	131072		40960	2.25,2.75,0,0		TSRF		none		2026-01-07	beta
cohere	c4ai-aya-expanse-32b	128000		4000			F				2024-10-24
cohere	c4ai-aya-expanse-8b	8000		4000			F				2024-10-24
cohere	c4ai-aya-vision-32b	16000		4000			FA	ti>t			2025-03-04
cohere	c4ai-aya-vision-8b	16000		4000			FA	ti>t			2025-03-04
cohere	command-a-03-2025	256000		8000	2.5,10		TF				2025-03-13
cohere	command-a-plus-05-2026	128000		64000	2.5,10		TSRFA	ti>t	toggle,1..		2026-05-20
cohere	command-a-reasoning-08-2025	256000		32000	2.5,10		TRF		toggle,1..		2025-08-21
cohere	command-a-translate-08-2025	8000		8000	2.5,10		TF				2025-08-28
cohere	command-a-vision-07-2025	128000		8000	2.5,10		F	ti>t			2025-07-31
cohere	command-r-08-2024	128000		4000	0.15,0.6		TF				2024-08-30
cohere	command-r-plus-08-2024	128000		4000	2.5,10		TF				2024-08-30
cohere	command-r7b-12-2024	128000		4000	0.0375,0.15		TF				2024-12-02
cohere	command-r7b-arabic-02-2025	128000		4000	0.0375,0.15		TF				2025-02-27
cohere	north-mini-code-1-0	256000		64000	0,0		TSRF		none/high		2026-06-09
deepseek	deepseek-chat	1000000		384000	0.14,0.28,0.0028		TFA				2025-12-01
deepseek	deepseek-reasoner	1000000		384000	0.14,0.28,0.0028		TRFA				2025-12-01
deepseek	deepseek-v4-flash	1000000		384000	0.14,0.28,0.0028		TSRF		toggle,high/max		2026-04-24
deepseek	deepseek-v4-pro	1000000		384000	0.435,0.87,0.003625		TSRF		toggle,high/max		2026-04-24
gemini	gemini-2.0-flash	1048576		8192	0.1,0.4,0.025		TSFA	tipva>t			2024-12-11	deprecated
gemini	gemini-2.0-flash-lite	1048576		8192	0.075,0.3		TSFA	tipva>t			2024-12-11	deprecated
gemini	gemini-2.5-flash	1048576		65536	0.3,2.5,0.03,,,,1		TSRFA	tipva>t	toggle,0..24576		2025-06-17
gemini	gemini-2.5-flash-image	32768		32768	0.3,30,0.075		RFA	ti>ti			2025-08-26
gemini	gemini-2.5-flash-lite	1048576		65536	0.1,0.4,0.01,,,,0.3		TSRFA	tipva>t	toggle,512..24576		2025-06-17
gemini	gemini-2.5-pro	1048576		65536	1.25,10,0.125	200000:2.5,15,0.25	TSRFA	tipva>t	128..32768		2025-06-17
gemini	gemini-3-flash-preview	1048576		65536	0.5,3,0.05,,,,1		TSRFA	tipva>t	minimal/low/medium/high		2025-12-17
gemini	gemini-3-pro-image-preview	131072		32768	2,120		RFA	ti>ti			2025-11-20
gemini	gemini-3-pro-preview	1048576		65536	2,12,0.2	200000:4,18,0.4	TSRFA	tipva>t	low/high		2025-11-18	deprecated
gemini	gemini-3.1-flash-image-preview	65536		65536	0.5,60		RFA	tip>ti	minimal/high		2026-02-26
gemini	gemini-3.1-flash-lite	1048576		65536	0.25,1.5,0.025,,,,0.5		TSRFA	tipva>t	minimal/low/medium/high		2026-05-07
gemini	gemini-3.1-flash-lite-preview	1048576		65536	0.25,1.5,0.025,,,,0.5		TSRFA	tipva>t	minimal/low/medium/high		2026-03-03	deprecated
gemini	gemini-3.1-pro-preview	1048576		65536	2,12,0.2	200000:4,18,0.4	TSRFA	tipva>t	low/medium/high		2026-02-19
gemini	gemini-3.1-pro-preview-customtools	1048576		65536	2,12,0.2	200000:4,18,0.4	TSRFA	tipva>t	low/medium/high		2026-02-19
gemini	gemini-3.5-flash	1048576		65536	1.5,9,0.15,,,,1.5		TSRFA	tipva>t	minimal/low/medium/high		2026-05-19
gemini	gemini-embedding-001	2048			0.15,0		Ef			1	2025-05-20
gemini	gemini-flash-latest	1048576		65536	0.3,2.5,0.075,,,,1		TSRFA	tipva>t	toggle,0..24576		2025-09-25
gemini	gemini-flash-lite-latest	1048576		65536	0.1,0.4,0.025		TSRFA	tipva>t	toggle,512..24576		2025-09-25
gemini	gemma-4-26b-a4b-it	262144		32768			TSRFA	ti>t	toggle		2026-04-02
gemini	gemma-4-31b-it	262144		32768			TSRFA	ti>t	toggle		2026-04-02
groq	groq/compound	131072		8192			F				2025-09-04
groq	groq/compound-mini	131072		8192			F				2025-09-04
groq	llama-3.1-8b-instant	131072		131072	0.05,0.08		TF				2024-07-23
groq	llama-3.3-70b-versatile	131072		32768	0.59,0.79		TF				2024-12-06
groq	meta-llama/llama-4-scout-17b-16e-instruct	131072		8192	0.11,0.34		TSFA	ti>t			2025-04-05	beta
groq	openai/gpt-oss-120b	131072		65536	0.15,0.6,0.075		TSRF		low/medium/high		2025-08-05
groq	openai/gpt-oss-20b	131072		65536	0.075,0.3,0.0375		TSRF		low/medium/high		2025-08-05
groq	qwen/qwen3-32b	131072		40960	0.29,0.59		TRF		none/default		2025-06-11	beta
mistral	codestral-latest	256000		4096	0.3,0.9		TF				2024-05-29
mistral	devstral-2512	262144		262144	0.4,2		TF				2025-12-09	deprecated
mistral	devstral-latest	262144		262144	0.4,2		TF				2025-12-09	deprecated
mistral	devstral-medium-2507	128000		128000	0.4,2		TF				2025-07-10	deprecated
mistral	devstral-medium-latest	262144		262144	0.4,2		TF				2025-12-02	deprecated
mistral	devstral-small-2505	128000		128000	0.1,0.3		TF				2025-05-07	deprecated
mistral	devstral-small-2507	128000		128000	0.1,0.3		TF				2025-07-10	deprecated
mistral	labs-devstral-small-2512	256000		256000	0,0		TF	ti>t			2025-12-09	deprecated
mistral	magistral-medium-latest	128000		16384	2,5		TRF				2025-03-17
mistral	magistral-small	128000		128000	0.5,1.5		TRF				2025-03-17
mistral	ministral-3b-latest	128000		128000	0.04,0.04		TF				2024-10-01
mistral	ministral-8b-latest	128000		128000	0.1,0.1		TF				2024-10-01
mistral	mistral-embed	8000			0.1,0		Ef			3072	2023-12-11
mistral	mistral-large-2411	131072		16384	2,6		TF				2024-11-18
mistral	mistral-large-2512	262144		262144	0.5,1.5		TFA	ti>t			2024-11-01
mistral	mistral-large-latest	262144		262144	0.5,1.5		TFA	ti>t			2024-11-01
mistral	mistral-medium-2505	131072		131072	0.4,2		TFA	ti>t			2025-05-07
mistral	mistral-medium-2508	262144		262144	0.4,2		TFA	ti>t			2025-08-12
mistral	mistral-medium-2604	262144		262144	1.5,7.5		TSRFA	ti>t	none/high		2026-04-29
mistral	mistral-medium-latest	262144		262144	0.4,2		TFA	ti>t			2025-08-12
mistral	mistral-nemo	128000		128000	0.15,0.15		TF				2024-07-01
mistral	mistral-small-2506	128000		16384	0.1,0.3		TF	ti>t			2025-06-20
mistral	mistral-small-2603	256000		256000	0.15,0.6		TRFA	ti>t	none/high		2026-03-16
mistral	mistral-small-latest	256000		256000	0.15,0.6		TRFA	ti>t	none/high		2026-03-16
mistral	open-mistral-7b	8000		8000	0.25,0.25		TF				2023-09-27
mistral	open-mistral-nemo	128000		128000	0.15,0.15		TF				2024-07-01	deprecated
mistral	open-mixtral-8x22b	64000		64000	2,6		TF				2024-04-17
mistral	open-mixtral-8x7b	32000		32000	0.7,0.7		TF				2023-12-11
mistral	pixtral-12b	128000		128000	0.15,0.15		TFA	ti>t			2024-09-01
mistral	pixtral-large-latest	128000		128000	2,6		TFA	ti>t			2024-11-01
ollama-cloud	cogito-2.1:671b	163840		32000			TR		toggle		2025-11-19	deprecated
ollama-cloud	deepseek-v3.1:671b	163840		163840			TR		toggle		2025-08-21
ollama-cloud	deepseek-v3.2	163840		65536			TR		toggle		2025-06-15
ollama-cloud	deepseek-v4-flash	1048576		1048576			TR		toggle,high/max		2026-04-24
ollama-cloud	deepseek-v4-pro	1048576		1048576			TR		toggle,high/max		2026-04-24
ollama-cloud	devstral-2:123b	262144		262144			T				2025-12-09
ollama-cloud	devstral-small-2:24b	262144		262144			TA	ti>t			2025-12-09
ollama-cloud	gemini-3-flash-preview	1048576		65536			TRA	ti>t	toggle		2025-12-17
ollama-cloud	gemma3:12b	131072		131072			A	ti>t			2024-12-01
ollama-cloud	gemma3:27b	131072		131072			A	ti>t			2025-07-27
ollama-cloud	gemma3:4b	131072		131072			A	ti>t			2024-12-01
ollama-cloud	gemma4:31b	262144		262144			TRA	ti>t	toggle		2026-04-02
ollama-cloud	glm-4.6	202752		131072			TR		toggle		2025-09-29	deprecated
ollama-cloud	glm-4.7	202752		131072			TR		toggle		2025-12-22
ollama-cloud	glm-5	202752		131072			TR		toggle		2026-02-11
ollama-cloud	glm-5.1	202752		131072			TR		toggle		2026-03-27
ollama-cloud	glm-5.2	976000		131072			TSRF		high/max		2026-06-13
ollama-cloud	gpt-oss:120b	131072		32768			TR		low/medium/high		2025-08-05
ollama-cloud	gpt-oss:20b	131072		32768			TR		low/medium/high		2025-08-05
ollama-cloud	kimi-k2-thinking	262144		262144			TR				2025-11-06	deprecated
ollama-cloud	kimi-k2.5	262144		262144			TRA	ti>t	toggle		2026-01-27
ollama-cloud	kimi-k2.6	262144		262144			TRA	ti>t	toggle		2026-04-20
ollama-cloud	kimi-k2.7-code	262144		262144			TSRfA	ti>t	toggle		2026-06-12
ollama-cloud	kimi-k2:1t	262144		262144			T				2025-07-11	deprecated
ollama-cloud	minimax-m2	204800		128000			TR				2025-10-23	deprecated
ollama-cloud	minimax-m2.1	204800		131072			TR				2025-12-23
ollama-cloud	minimax-m2.5	204800		131072			TR				2026-02-12
ollama-cloud	minimax-m2.7	196608		196608			TR		toggle		2026-03-18
ollama-cloud	minimax-m3	512000		131072			TRFA	tiv>t	toggle,low/medium/high/max		2026-05-31
ollama-cloud	ministral-3:14b	262144		128000			TA	ti>t			2024-12-01
ollama-cloud	ministral-3:3b	262144		128000			TA	ti>t			2024-10-22
ollama-cloud	ministral-3:8b	262144		128000			TA	ti>t			2024-12-01
ollama-cloud	mistral-large-3:675b	262144		262144			TA	ti>t			2025-12-02
ollama-cloud	nemotron-3-nano:30b	1048576		131072			TRF		toggle		2025-12-15
ollama-cloud	nemotron-3-super	262144		65536			TRF		toggle		2026-03-11
ollama-cloud	nemotron-3-ultra	262144		128000			TRF		toggle		2026-06-04
ollama-cloud	qwen3-coder-next	262144		65536			T				2026-02-02
ollama-cloud	qwen3-coder:480b	262144		65536			T				2025-07-22
ollama-cloud	qwen3-next:80b	262144		32768			TR				2025-09-15	deprecated
ollama-cloud	qwen3-vl:235b	262144		32768			TRA	ti>t			2025-09-22	deprecated
ollama-cloud	qwen3-vl:235b-instruct	262144		131072			TA	ti>t			2025-09-22	deprecated
ollama-cloud	qwen3.5:397b	262144		65536			TRA	ti>t	toggle		2026-02-15
ollama-cloud	rnj-1:8b	32768		4096			T				2025-12-06
openai	chatgpt-image-latest						fA	ti>ti			2025-12-16
openai	gpt-3.5-turbo	16385		4096	0.5,1.5,0		sF				2023-03-01
openai	gpt-4	8192		8192	30,60		TsFA				2023-11-06
openai	gpt-4-turbo	128000		4096	10,30		TsFA	ti>t			2023-11-06
openai	gpt-4.1	1047576		32768	2,8,0.5		TSFA	tip>t			2025-04-14
openai	gpt-4.1-mini	1047576		32768	0.4,1.6,0.1		TSFA	tip>t			2025-04-14
openai	gpt-4.1-nano	1047576		32768	0.1,0.4,0.025		TSFA	ti>t			2025-04-14
openai	gpt-4o	128000		16384	2.5,10,1.25		TSFA	tip>t			2024-05-13
openai	gpt-4o-2024-05-13	128000		4096	5,15		TSFA	ti>t			2024-05-13
openai	gpt-4o-2024-08-06	128000		16384	2.5,10,1.25		TSFA	ti>t			2024-08-06
openai	gpt-4o-2024-11-20	128000		16384	2.5,10,1.25		TSFA	ti>t			2024-11-20
openai	gpt-4o-mini	128000		16384	0.15,0.6,0.075		TSFA	tip>t			2024-07-18
openai	gpt-5	400000	272000	128000	1.25,10,0.125		TSRfA	ti>t	minimal/low/medium/high		2025-08-07
openai	gpt-5-chat-latest	400000	272000	128000	1.25,10,0.125		SRFA	ti>t			2025-08-07
openai	gpt-5-codex	400000	272000	128000	1.25,10,0.125		TSRf	ti>t	low/medium/high		2025-09-15
openai	gpt-5-mini	400000	272000	128000	0.25,2,0.025		TSRfA	ti>t	minimal/low/medium/high		2025-08-07
openai	gpt-5-nano	400000	272000	128000	0.05,0.4,0.005		TSRfA	ti>t	minimal/low/medium/high		2025-08-07
openai	gpt-5-pro	400000	272000	272000	15,120		TSRfA	ti>t	high		2025-10-06
openai	gpt-5.1	400000	272000	128000	1.25,10,0.125		TSRfA	ti>t	none/low/medium/high		2025-11-13
openai	gpt-5.1-chat-latest	128000		16384	1.25,10,0.125		TSRfA	ti>t	medium		2025-11-13
openai	gpt-5.1-codex	400000	272000	128000	1.25,10,0.125		TSRfA	ti>t	low/medium/high		2025-11-13
openai	gpt-5.1-codex-max	400000	272000	128000	1.25,10,0.125		TSRfA	ti>t	low/medium/high/xhigh		2025-11-13
openai	gpt-5.1-codex-mini	400000	272000	128000	0.25,2,0.025		TSRfA	ti>t	low/medium/high		2025-11-13
openai	gpt-5.2	400000	272000	128000	1.75,14,0.175		TSRfA	ti>t	none/low/medium/high/xhigh		2025-12-11
openai	gpt-5.2-chat-latest	128000		16384	1.75,14,0.175		TSRfA	ti>t	medium		2025-12-11
openai	gpt-5.2-codex	400000	272000	128000	1.75,14,0.175		TSRfA	tip>t	low/medium/high/xhigh		2025-12-11
openai	gpt-5.2-pro	400000	272000	128000	21,168		TsRfA	ti>t	medium/high/xhigh		2025-12-11
openai	gpt-5.3-chat-latest	128000		16384	1.75,14,0.175		TSFA	ti>t			2026-03-03
openai	gpt-5.3-codex	400000	272000	128000	1.75,14,0.175		TSRfA	tip>t	none/low/medium/high/xhigh		2026-02-05
openai	gpt-5.3-codex-spark	128000	100000	32000	1.75,14,0.175		TSRfA	tip>t	none/low/medium/high/xhigh		2026-02-05
openai	gpt-5.4	1050000	922000	128000	2.5,15,0.25	272000:5,22.5,0.5	TSRfA	tip>t	none/low/medium/high/xhigh		2026-03-05
openai	gpt-5.4-mini	400000	272000	128000	0.75,4.5,0.075		TSRfA	ti>t	none/low/medium/high/xhigh		2026-03-17
openai	gpt-5.4-nano	400000	272000	128000	0.2,1.25,0.02		TSRfA	ti>t	none/low/medium/high/xhigh		2026-03-17
openai	gpt-5.4-pro	1050000	922000	128000	30,180	272000:60,270	TsRfA	ti>t	medium/high/xhigh		2026-03-05
openai	gpt-5.5	1050000	922000	128000	5,30,0.5	272000:10,45,1	TSRfA	tip>t	none/low/medium/high/xhigh		2026-04-23
openai	gpt-5.5-pro	1050000	922000	128000	30,180	272000:60,270	TSRfA	tip>t	medium/high/xhigh		2026-04-23
openai	gpt-image-1-mini						fA	ti>ti			2025-09-26
openai	gpt-image-1.5						fA	ti>ti			2025-11-25
openai	o1	200000		100000	15,60,7.5		TSRfA	tip>t	low/medium/high		2024-12-05
openai	o1-pro	200000		100000	150,600		TSRfA	ti>t	low/medium/high		2025-03-19
openai	o3	200000		100000	2,8,0.5		TSRfA	tip>t	low/medium/high		2025-04-16
openai	o3-deep-research	200000		100000	10,40,2.5		TRfA	ti>t	medium		2024-06-26
openai	o3-mini	200000		100000	1.1,4.4,0.55		TSRf		low/medium/high		2024-12-20
openai	o3-pro	200000		100000	20,80		TSRfA	ti>t	low/medium/high		2025-06-10
openai	o4-mini	200000		100000	1.1,4.4,0.275		TSRfA	ti>t	low/medium/high		2025-04-16
openai	o4-mini-deep-research	200000		100000	2,8,0.5		TRfA	ti>t	medium		2024-06-26
openai	text-embedding-3-large	8191			0.13,0		Ef			3072	2024-01-25
openai	text-embedding-3-small	8191			0.02,0		Ef			1536	2024-01-25
openai	text-embedding-ada-002	8192			0.1,0		Ef			1536	2022-12-15
openrouter	ai21/jamba-large-1.7	256000		4096	2,8		TsF				2025-08-08
openrouter	aion-labs/aion-1.0	131072		32768	4,8		sRF				2025-02-04
openrouter	aion-labs/aion-1.0-mini	131072		32768	0.7,1.4		sRF				2025-02-04
openrouter	aion-labs/aion-2.0	131072		32768	0.8,1.6,0.2		sRF				2026-02-23
openrouter	aion-labs/aion-rp-llama-3.1-8b	32768		32768	0.8,1.6		sF				2025-02-04
openrouter	allenai/olmo-3-32b-think	65536		65536	0.15,0.5		SRF				2025-11-21
openrouter	amazon/nova-2-lite-v1	1000000		65535	0.3,2.5		TsRFA	tipv>t			2025-12-02
openrouter	amazon/nova-lite-v1	300000		5120	0.06,0.24		TsFA	ti>t			2024-12-05
openrouter	amazon/nova-micro-v1	128000		5120	0.035,0.14		TsF				2024-12-05
openrouter	amazon/nova-premier-v1	1000000		32000	2.5,12.5,0.625		TsFA	ti>t			2025-10-31
openrouter	amazon/nova-pro-v1	300000		5120	0.8,3.2		TsFA	ti>t			2024-12-05
openrouter	anthracite-org/magnum-v4-72b	16384		2048	3,5		SF				2024-10-22
openrouter	anthropic/claude-3-haiku	200000		4096	0.25,1.25,0.03,0.3		TsFA	ti>t			2024-03-13
openrouter	anthropic/claude-haiku-4.5	200000		64000	1,5,0.1,1.25		TSRFA	tip>t	toggle,1024..63999		2025-10-15
openrouter	anthropic/claude-opus-4	200000		32000	15,75,1.5,18.75		TsRFA	tip>t	toggle,1024..31999		2025-05-22
openrouter	anthropic/claude-opus-4.1	200000		32000	15,75,1.5,18.75		TSRFA	tip>t	toggle,1024..31999		2025-08-05
openrouter	anthropic/claude-opus-4.5	200000		64000	5,25,0.5,6.25		TSRFA	tip>t	toggle,low/medium/high,1024..63999		2025-11-24
openrouter	anthropic/claude-opus-4.6	1000000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TSRFA	tip>t	toggle,low/medium/high/max,1024..127999		2026-02-05
openrouter	anthropic/claude-opus-4.7	1000000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-04-16
openrouter	anthropic/claude-opus-4.7-fast	1000000		128000	30,150,3,37.5		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-05-12
openrouter	anthropic/claude-opus-4.8	1000000		128000	5,25,0.5,6.25		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-05-28
openrouter	anthropic/claude-opus-4.8-fast	1000000		128000	10,50,1,12.5		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-05-27
openrouter	anthropic/claude-sonnet-4	1000000		64000	3,15,0.3,3.75	200000:6,22.5,0.6,7.5	TsRFA	tip>t	toggle,1024..63999		2025-05-22
openrouter	anthropic/claude-sonnet-4.5	1000000		64000	3,15,0.3,3.75	200000:6,22.5,0.6,7.5	TSRFA	tip>t	toggle,1024..63999		2025-09-29
openrouter	anthropic/claude-sonnet-4.6	1000000		128000	3,15,0.3,3.75	200000:6,22.5,0.6,7.5	TSRFA	tip>t	toggle,low/medium/high/max,1024..127999		2026-02-17
openrouter	anthropic/claude-sonnet-5	1000000		128000	2,10,0.2,2.5		TSRfA	tip>t	low/medium/high/xhigh/max		2026-06-30
openrouter	arcee-ai/coder-large	32768		32768	0.5,0.8		sF				2025-05-05
openrouter	arcee-ai/trinity-large-thinking	262144		80000	0.25,0.8,0.06		TsRF				2026-04-01
openrouter	arcee-ai/trinity-mini	131072		131072	0.045,0.15		TSRF				2025-12-01
openrouter	arcee-ai/virtuoso-large	131072		64000	0.75,1.2		TsF				2025-05-05
openrouter	baidu/ernie-4.5-vl-424b-a47b	123000		16000	0.42,1.25		sRFA	ti>t			2025-06-30
openrouter	bytedance-seed/seed-1.6	262144		32768	0.25,2		TSRFA	tiv>t			2025-12-23
openrouter	bytedance-seed/seed-1.6-flash	262144		32768	0.075,0.3		TSRFA	tiv>t			2025-12-23
openrouter	bytedance-seed/seed-2.0-lite	262144		131072	0.25,2		TSRFA	tiv>t	minimal/low/medium/high		2026-03-10
openrouter	bytedance-seed/seed-2.0-mini	262144		131072	0.1,0.4		TSRFA	tiv>t	minimal/low/medium/high		2026-02-26
openrouter	bytedance/ui-tars-1.5-7b	128000		2048	0.1,0.2,0.1		SFA	ti>t			2025-07-22
openrouter	cognitivecomputations/dolphin-mistral-24b-venice-edition:free	32768		32768	0,0		SF				2025-07-09
openrouter	cohere/command-a	256000		8192	2.5,10		SF				2025-03-13
openrouter	cohere/command-r-08-2024	128000		4000	0.15,0.6		TSF				2024-08-30
openrouter	cohere/command-r-plus-08-2024	128000		4000	2.5,10		TSF				2024-08-30
openrouter	cohere/command-r7b-12-2024	128000		4000	0.0375,0.15		SF				2024-12-02
openrouter	cohere/north-mini-code:free	256000		64000	0,0		TsRF				2026-06-17
openrouter	deepcogito/cogito-v2.1-671b	128000		128000	1.25,1.25		SRF				2025-11-13
openrouter	deepseek/deepseek-chat	128000		16000	0.2002,0.8001		TSF				2025-12-01
openrouter	deepseek/deepseek-chat-v3-0324	163840		16384	0.2,0.77,0.135		TSF				2025-03-24
openrouter	deepseek/deepseek-chat-v3.1	163840		32768	0.21,0.79,0.13		TSRF		toggle		2025-08-21
openrouter	deepseek/deepseek-r1	64000		16000	0.7,2.5		TSRF				2025-01-20
openrouter	deepseek/deepseek-r1-0528	163840		32768	0.5,2.15,0.35		TSRF				2025-05-28
openrouter	deepseek/deepseek-r1-distill-llama-70b	8192		8192	0.8,0.8		sRF				2025-01-23
openrouter	deepseek/deepseek-v3.1-terminus	163840		32768	0.27,0.95,0.13		TSRF		toggle		2025-09-22
openrouter	deepseek/deepseek-v3.2	128000		64000	0.2288,0.3432,0.02288		TSRF		toggle		2025-12-01
openrouter	deepseek/deepseek-v3.2-exp	163840		65536	0.27,0.41		TSRF		toggle		2025-09-29
openrouter	deepseek/deepseek-v4-flash	1048575		65536	0.098,0.196,0.02		TSRF		toggle,high/xhigh		2026-04-24
openrouter	deepseek/deepseek-v4-pro	1048576		384000	0.435,0.87,0.003625		TSRF		toggle,high/xhigh		2026-04-24
openrouter	google/gemini-2.5-flash	1048576		65535	0.3,2.5,0.03,0.083333,,2.5		TSRFA	tipva>t	toggle,0..24576		2025-06-17
openrouter	google/gemini-2.5-flash-image	32768		32768	0.3,2.5,0.03,0.083333		SFA	ti>ti			2025-08-26
openrouter	google/gemini-2.5-flash-lite	1048576		65535	0.1,0.4,0.01,0.083333,,0.4		TSRFA	tipva>t	toggle,512..24576		2025-06-17
openrouter	google/gemini-2.5-flash-lite-preview-09-2025	1048576		65535	0.1,0.4,0.01,0.083333,,0.4		TSRFA	tipva>t	toggle,512..24576		2025-09-25
openrouter	google/gemini-2.5-pro	1048576		65536	1.25,10,0.125,0.375,,10		TSRFA	tipva>t	128..32768		2025-06-17
openrouter	google/gemini-2.5-pro-preview	1048576		65536	1.25,10,0.125,0.375,,10		TSRFA	tipa>t	128..32768		2025-06-05
openrouter	google/gemini-2.5-pro-preview-05-06	1048576		65535	1.25,10,0.125,0.375,,10		TSRFA	tipva>t	128..32768		2025-05-07
openrouter	google/gemini-3-flash-preview	1048576		65535	0.5,3,0.05,0.083333,,3		TSRFA	tipva>t	minimal/low/medium/high		2025-12-17
openrouter	google/gemini-3-pro-image	65536		32768	2,12,0.2,0.375,,12		TSRFA	ti>ti			2026-06-18
openrouter	google/gemini-3-pro-image-preview	65536		32768	2,12,0.2,0.375,,12		SRFA	ti>ti			2025-11-20
openrouter	google/gemini-3.1-flash-image	131072		32768	0.5,3		SRFA	ti>ti	minimal/high		2026-06-18
openrouter	google/gemini-3.1-flash-image-preview	131072		32768	0.5,3		SRFA	ti>ti	minimal/high		2026-02-26
openrouter	google/gemini-3.1-flash-lite	1048576		65536	0.25,1.5,0.025,0.083333,,1.5		TSRFA	tipva>t	minimal/low/medium/high		2026-05-07
openrouter	google/gemini-3.1-flash-lite-image	65536		66000	0.25,1.5		sRFA	ti>ti	minimal/high		2026-06-30
openrouter	google/gemini-3.1-flash-lite-preview	1048576		65536	0.25,1.5,0.025,0.083333,,1.5		TSRFA	tipva>t	minimal/low/medium/high		2026-03-03
openrouter	google/gemini-3.1-pro-preview	1048576		65536	2,12,0.2,0.375,,12	200000:4,18,0.4	TSRFA	tipva>t	low/medium/high		2026-02-19
openrouter	google/gemini-3.1-pro-preview-customtools	1048576		65536	2,12,0.2,0.375,,12	200000:4,18,0.4	TSRFA	tipva>t	low/medium/high		2026-02-19
openrouter	google/gemini-3.5-flash	1048576		65536	1.5,9,0.15,0.083333,,9		TSRFA	tipva>t	minimal/low/medium/high		2026-05-19
openrouter	google/gemma-2-27b-it	8192		2048	0.65,0.65		SF				2024-07-13
openrouter	google/gemma-3-12b-it	131072		16384	0.05,0.15		TSFA	ti>t			2025-03-13
openrouter	google/gemma-3-27b-it	131072		16384	0.08,0.16		TSFA	ti>t			2025-03-12
openrouter	google/gemma-3-4b-it	131072		16384	0.05,0.1		SFA	ti>t			2025-03-13
openrouter	google/gemma-3n-e4b-it	32768		32768	0.06,0.12		SF				2025-05-20
openrouter	google/gemma-4-26b-a4b-it	262144		262144	0.06,0.33		TSRFA	tiv>t	toggle		2026-04-02
openrouter	google/gemma-4-26b-a4b-it:free	131072		32768	0,0		TSRFA	tiv>t	toggle		2026-04-02
openrouter	google/gemma-4-31b-it	262144		262144	0.12,0.35,0.09		TSRFA	tiv>t	toggle		2026-04-02
openrouter	google/gemma-4-31b-it:free	262144		8192	0,0		TsRFA	tiv>t	toggle		2026-04-02
openrouter	google/lyria-3-clip-preview	1048576		65536	0,0		sFA	ti>ta			2026-03-30
openrouter	google/lyria-3-pro-preview	1048576		65536	0,0		sFA	ti>ta			2026-03-30
openrouter	gryphe/mythomax-l2-13b	4096		4096	0.06,0.06		SF				2023-07-02
openrouter	ibm-granite/granite-4.0-h-micro	131000		131000	0.017,0.112		sF				2025-10-20
openrouter	ibm-granite/granite-4.1-8b	131072		131072	0.05,0.1,0.05		TSF				2026-04-30
openrouter	inception/mercury-2	128000		50000	0.25,0.75,0.025		TSRF		none/low/medium/high		2026-03-04
openrouter	inclusionai/ling-2.6-1t	262144		32768	0.075,0.625,0.015		TSF				2026-04-23
openrouter	inclusionai/ling-2.6-flash	262144		32768	0.01,0.03,0.002		TSF				2026-04-21
openrouter	inclusionai/ring-2.6-1t	262144		65536	0.075,0.625,0.015		TsRF		high/xhigh		2026-05-08
openrouter	inflection/inflection-3-pi	8000		1024	2.5,10		sF				2024-10-11
openrouter	inflection/inflection-3-productivity	8000		1024	2.5,10		sF				2024-10-11
openrouter	kwaipilot/kat-coder-pro-v2	256000		80000	0.3,1.2,0.06		TSF				2026-03-27
openrouter	liquid/lfm-2-24b-a2b	32768		32768	0.03,0.12		sF				2026-02-25
openrouter	liquid/lfm-2.5-1.2b-instruct:free	32768		32768	0,0		SF				2026-01-20
openrouter	liquid/lfm-2.5-1.2b-thinking:free	32768		32768	0,0		TSRF				2026-01-20
openrouter	mancer/weaver	8000		2000	0.75,1		SF				2023-08-02
openrouter	meta-llama/llama-3-8b-instruct	8192		8192	0.14,0.14		SF				2024-04-18
openrouter	meta-llama/llama-3.1-70b-instruct	131072		16384	0.4,0.4		TSF				2024-07-23
openrouter	meta-llama/llama-3.1-8b-instruct	131072		16384	0.02,0.03		TSF				2024-07-23
openrouter	meta-llama/llama-3.2-11b-vision-instruct	131072		16384	0.345,0.345		sFA	ti>t			2024-09-25
openrouter	meta-llama/llama-3.2-1b-instruct	60000		60000	0.027,0.201		sF				2024-09-25
openrouter	meta-llama/llama-3.2-3b-instruct	80000		80000	0.0509,0.335		sF				2024-09-25
openrouter	meta-llama/llama-3.2-3b-instruct:free	131072		131072	0,0		sF				2024-09-25
openrouter	meta-llama/llama-3.3-70b-instruct	131072		16384	0.1,0.32		TSF				2024-12-06
openrouter	meta-llama/llama-3.3-70b-instruct:free	65536		131072	0,0		TsF				2024-12-06
openrouter	meta-llama/llama-4-maverick	1048576		16384	0.15,0.6		TSFA	ti>t			2025-04-05
openrouter	meta-llama/llama-4-scout	327680		16384	0.1,0.3		TSFA	ti>t			2025-04-05
openrouter	microsoft/phi-4	16384		16384	0.07,0.14		SF				2025-01-10
openrouter	microsoft/wizardlm-2-8x22b	65535		8000	0.62,0.62		sF				2024-04-16
openrouter	minimax/minimax-01	1000192		1000192	0.2,1.1		sFA	ti>t			2025-01-15
openrouter	minimax/minimax-m1	1000000		40000	0.4,2.2		TsRF				2025-06-17
openrouter	minimax/minimax-m2	196608		196608	0.255,1,0.03		TSRF				2025-10-27
openrouter	minimax/minimax-m2-her	65536		2048	0.3,1.2,0.03		sF				2026-01-23
openrouter	minimax/minimax-m2.1	196608		196608	0.29,0.95,0.03		TSRF				2025-12-23
openrouter	minimax/minimax-m2.5	196608		196608	0.12,0.48		TSRF				2026-02-12
openrouter	minimax/minimax-m2.7	196608		196608	0.18,0.72		TSRF				2026-03-18
openrouter	minimax/minimax-m3	524288		512000	0.3,1.2,0.06		TSRFA	tiv>t			2026-06-01
openrouter	mistralai/codestral-2508	256000		256000	0.3,0.9,0.03		TSFA	tp>t			2025-08-01
openrouter	mistralai/devstral-2512	262144		262144	0.4,2,0.04		TSFA	tp>t			2025-12-09	deprecated
openrouter	mistralai/ministral-14b-2512	262144		262144	0.2,0.2,0.02		TSFA	ti>t			2025-12-02
openrouter	mistralai/ministral-3b-2512	131072		131072	0.1,0.1,0.01		TSFA	ti>t			2025-12-02
openrouter	mistralai/ministral-8b-2512	262144		262144	0.15,0.15,0.015		TSFA	ti>t			2025-12-02
openrouter	mistralai/mistral-large	128000		128000	2,6,0.2		TSFA	tp>t			2024-02-26
openrouter	mistralai/mistral-large-2407	131072		131072	2,6,0.2		TSFA	tp>t			2024-11-19
openrouter	mistralai/mistral-large-2512	262144		262144	0.5,1.5,0.05		TSFA	tip>t			2024-11-01
openrouter	mistralai/mistral-medium-3	131072		131072	0.4,2,0.04		TSFA	tip>t			2025-05-07
openrouter	mistralai/mistral-medium-3-5	262144		262144	1.5,7.5		TSRFA	tip>t	none/high		2026-04-30
openrouter	mistralai/mistral-medium-3.1	131072		262144	0.4,2,0.04		TSFA	tip>t			2025-08-13
openrouter	mistralai/mistral-nemo	131072		131072	0.02,0.03		TSF				2024-07-01
openrouter	mistralai/mistral-saba	32768		32768	0.2,0.6,0.02		TSFA	tp>t			2025-02-17
openrouter	mistralai/mistral-small-24b-instruct-2501	32768		16384	0.05,0.08		SF				2025-01-30
openrouter	mistralai/mistral-small-2603	262144		262144	0.15,0.6,0.015		TSRFA	ti>t	none/high		2026-03-16
openrouter	mistralai/mistral-small-3.1-24b-instruct	128000		128000	0.351,0.555		sFA	ti>t			2025-03-17
openrouter	mistralai/mistral-small-3.2-24b-instruct	128000		16384	0.075,0.2		TSFA	ti>t			2025-06-20
openrouter	mistralai/mixtral-8x22b-instruct	65536		65536	2,6,0.2		TSFA	tp>t			2024-04-17
openrouter	mistralai/voxtral-small-24b-2507	32000		32000	0.1,0.3,0.01		TSFA	tpa>t			2025-10-30
openrouter	moonshotai/kimi-k2	131072		100352	0.57,2.3		TsF				2025-07-11
openrouter	moonshotai/kimi-k2-0905	262144		100352	0.6,2.5		TSF				2025-09-04
openrouter	moonshotai/kimi-k2-thinking	262144		262144	0.6,2.5,0.6		TSRF				2025-11-06
openrouter	moonshotai/kimi-k2.5	256000		256000	0.375,2.025		TSRFA	ti>t			2026-01
openrouter	moonshotai/kimi-k2.6	262144		262144	0.55,3.2,0.11		TSRFA	ti>t			2026-04-21
openrouter	moonshotai/kimi-k2.7-code	262144		16384	0.74,3.5,0.15		TSRFA	ti>t			2026-06-12
openrouter	morph/morph-v3-fast	81920		38000	0.8,1.2		sF				2025-07-07
openrouter	morph/morph-v3-large	262144		131072	0.9,1.9		SF				2025-07-07
openrouter	nex-agi/nex-n2-pro	262144		262144	0.25,1,0.025		sRFA	ti>t			2026-06-08
openrouter	nousresearch/hermes-3-llama-3.1-405b	131072		16384	1,1		SF				2024-08-16
openrouter	nousresearch/hermes-3-llama-3.1-405b:free	131072		131072	0,0		sF				2024-08-16
openrouter	nousresearch/hermes-3-llama-3.1-70b	131072		16384	0.7,0.7		SF				2024-08-18
openrouter	nousresearch/hermes-4-405b	131072		131072	1,3		sRF		toggle		2025-08-26
openrouter	nousresearch/hermes-4-70b	131072		131072	0.13,0.4		sRF		toggle		2025-08-26
openrouter	nvidia/llama-3.3-nemotron-super-49b-v1.5	131072		16384	0.4,0.4		TsRF				2025-07-25
openrouter	nvidia/nemotron-3-nano-30b-a3b	262144		228000	0.05,0.2		TSRF				2025-12-15
openrouter	nvidia/nemotron-3-nano-30b-a3b:free	256000		256000	0,0		TsRF				2025-12-15
openrouter	nvidia/nemotron-3-nano-omni-30b-a3b-reasoning:free	256000		65536	0,0		TsRFA	tiva>t	..		2026-04-28
openrouter	nvidia/nemotron-3-super-120b-a12b	262144		16384	0.085,0.4		TSRF		low/medium,..		2026-03-11
openrouter	nvidia/nemotron-3-super-120b-a12b:free	262144		262144	0,0		TSRF		low/medium,..		2026-03-11
openrouter	nvidia/nemotron-3-ultra-550b-a55b	262144		16384	0.5,2.2,0.1		TSRF		medium/high,..		2026-06-04
openrouter	nvidia/nemotron-3-ultra-550b-a55b:free	1000000		65536	0,0		TsRF		medium/high,..		2026-06-04
openrouter	nvidia/nemotron-3.5-content-safety:free	128000		8192	0,0		sRFA	ti>t			2026-06-04
openrouter	nvidia/nemotron-nano-12b-v2-vl:free	128000		128000	0,0		TsRFA	tiv>t			2025-10-28
openrouter	nvidia/nemotron-nano-9b-v2:free	128000		128000	0,0		TSRF				2025-08-18
openrouter	openai/gpt-3.5-turbo	16385		4096	0.5,1.5		TSF				2023-03-01
openrouter	openai/gpt-3.5-turbo-0613	4095		4096	1,2		TSF				2024-01-25
openrouter	openai/gpt-3.5-turbo-16k	16385		4096	3,4		TSF				2023-08-28
openrouter	openai/gpt-3.5-turbo-instruct	4095		4096	1.5,2		SF				2023-09-28
openrouter	openai/gpt-4	8191		4096	30,60		TSF				2023-11-06
openrouter	openai/gpt-4-turbo	128000		4096	10,30		TSFA	ti>t			2023-11-06
openrouter	openai/gpt-4-turbo-preview	128000		4096	10,30		TSF				2024-01-25
openrouter	openai/gpt-4.1	1047576		32768	2,8,0.5		TSFA	tip>t			2025-04-14
openrouter	openai/gpt-4.1-mini	1047576		32768	0.4,1.6,0.1		TSFA	tip>t			2025-04-14
openrouter	openai/gpt-4.1-nano	1047576		32768	0.1,0.4,0.025		TSFA	tip>t			2025-04-14
openrouter	openai/gpt-4o	128000		16384	2.5,10		TSFA	tip>t			2024-05-13
openrouter	openai/gpt-4o-2024-05-13	128000		4096	5,15		TSFA	tip>t			2024-05-13
openrouter	openai/gpt-4o-2024-08-06	128000		16384	2.5,10,1.25		TSFA	tip>t			2024-08-06
openrouter	openai/gpt-4o-2024-11-20	128000		16384	2.5,10,1.25		TSFA	tip>t			2024-11-20
openrouter	openai/gpt-4o-mini	128000		16384	0.15,0.6,0.075		TSFA	tip>t			2024-07-18
openrouter	openai/gpt-4o-mini-2024-07-18	128000		16384	0.15,0.6,0.075		TSFA	tip>t			2024-07-18
openrouter	openai/gpt-4o-mini-search-preview	128000		16384	0.15,0.6		Sf				2025-03-12
openrouter	openai/gpt-4o-search-preview	128000		16384	2.5,10		Sf				2025-03-12
openrouter	openai/gpt-5	400000	272000	128000	1.25,10,0.125		TSRfA	tip>t	minimal/low/medium/high		2025-08-07
openrouter	openai/gpt-5-chat	128000		16384	1.25,10,0.125		SfA	tip>t			2025-08-07
openrouter	openai/gpt-5-codex	400000	272000	128000	1.25,10,0.125		TSRfA	ti>t	low/medium/high		2025-09-15
openrouter	openai/gpt-5-image	400000		128000	10,10,1.25		SRFA	tip>ti			2025-10-14
openrouter	openai/gpt-5-image-mini	400000		128000	2.5,2,0.25		SRFA	tip>ti			2025-10-16
openrouter	openai/gpt-5-mini	400000	272000	128000	0.25,2,0.025		TSRfA	tip>t	minimal/low/medium/high		2025-08-07
openrouter	openai/gpt-5-nano	400000	272000	128000	0.05,0.4,0.01		TSRfA	tip>t	minimal/low/medium/high		2025-08-07
openrouter	openai/gpt-5-pro	400000	272000	128000	15,120		TSRfA	tip>t	high		2025-10-06
openrouter	openai/gpt-5.1	400000	272000	128000	1.25,10,0.13		TSRfA	tip>t	none/low/medium/high		2025-11-13
openrouter	openai/gpt-5.1-chat	128000		32000	1.25,10,0.13		TSfA	tip>t			2025-11-13
openrouter	openai/gpt-5.1-codex	400000	272000	128000	1.25,10,0.13		TSRfA	ti>t	low/medium/high		2025-11-13
openrouter	openai/gpt-5.1-codex-max	400000	272000	128000	1.25,10,0.125		TSRfA	ti>t	low/medium/high/xhigh		2025-11-13
openrouter	openai/gpt-5.1-codex-mini	400000	272000	100000	0.25,2,0.025		TSRfA	ti>t	low/medium/high		2025-11-13
openrouter	openai/gpt-5.2	400000	272000	128000	1.75,14,0.175		TSRfA	tip>t	none/low/medium/high/xhigh		2025-12-11
openrouter	openai/gpt-5.2-chat	128000		16384	1.75,14,0.175		TSfA	tip>t			2025-12-10
openrouter	openai/gpt-5.2-codex	400000	272000	128000	1.75,14,0.175		TSRfA	ti>t	low/medium/high/xhigh		2025-12-11
openrouter	openai/gpt-5.2-pro	400000	272000	128000	21,168		TSRfA	tip>t	medium/high/xhigh		2025-12-11
openrouter	openai/gpt-5.3-chat	128000		16384	1.75,14,0.175		TSfA	tip>t			2026-03-03
openrouter	openai/gpt-5.3-codex	400000	272000	128000	1.75,14,0.175		TSRfA	tip>t	low/medium/high/xhigh		2026-02-05
openrouter	openai/gpt-5.4	1050000	922000	128000	2.5,15,0.25		TSRfA	tip>t	none/low/medium/high/xhigh		2026-03-05
openrouter	openai/gpt-5.4-image-2	272000		128000	8,15,2		SRfA	tip>ti	none/low/medium/high/xhigh		2026-04-21
openrouter	openai/gpt-5.4-mini	400000	272000	128000	0.75,4.5,0.075		TSRfA	tip>t	none/low/medium/high/xhigh		2026-03-17
openrouter	openai/gpt-5.4-nano	400000	272000	128000	0.2,1.25,0.02		TSRfA	tip>t	none/low/medium/high/xhigh		2026-03-17
openrouter	openai/gpt-5.4-pro	1050000	922000	128000	30,180		TSRfA	tip>t	medium/high/xhigh		2026-03-05
openrouter	openai/gpt-5.5	1050000	922000	128000	5,30,0.5		TSRfA	tip>t	none/low/medium/high/xhigh		2026-04-23
openrouter	openai/gpt-5.5-pro	1050000	922000	128000	30,180		TSRfA	tip>t	medium/high/xhigh		2026-04-23
openrouter	openai/gpt-audio	128000		16384	2.5,10		TSFA	ta>ta			2026-01-19
openrouter	openai/gpt-audio-mini	128000		16384	0.6,2.4		TSFA	ta>ta			2026-01-19
openrouter	openai/gpt-chat-latest	400000		128000	5,30,0.5		TSfA	tip>t			2026-05-05
openrouter	openai/gpt-oss-120b	131072		131072	0.03,0.15		TSRF		low/medium/high		2025-08-05
openrouter	openai/gpt-oss-120b:free	131072		131072	0,0		TsRF		low/medium/high		2025-08-05
openrouter	openai/gpt-oss-20b	131072		131072	0.029,0.14		TSRF		low/medium/high		2025-08-05
openrouter	openai/gpt-oss-20b:free	131072		32768	0,0		TSRF		low/medium/high		2025-08-05
openrouter	openai/o1	200000		100000	15,60,7.5		TSRfA	tip>t	low/medium/high		2024-12-05
openrouter	openai/o1-pro	200000		100000	150,600		SRfA	tip>t			2025-03-19
openrouter	openai/o3	200000		100000	2,8,0.5		TSRfA	tip>t	low/medium/high		2025-04-16
openrouter	openai/o3-deep-research	200000		100000	10,40,2.5		TSRFA	tip>t			2024-06-26
openrouter	openai/o3-mini	200000		100000	1.1,4.4,0.55		TSRfA	tp>t	low/medium/high		2024-12-20
openrouter	openai/o3-mini-high	200000		100000	1.1,4.4,0.55		TSRfA	tp>t	high		2025-02-12
openrouter	openai/o3-pro	200000		100000	20,80		TSRfA	tip>t	low/medium/high		2025-06-10
openrouter	openai/o4-mini	200000		100000	1.1,4.4,0.275		TSRfA	tip>t	low/medium/high		2025-04-16
openrouter	openai/o4-mini-deep-research	200000		100000	2,8,0.5		TSRFA	tip>t			2024-06-26
openrouter	openai/o4-mini-high	200000		100000	1.1,4.4,0.275		TSRfA	tip>t	high		2025-04-16
openrouter	openrouter/auto	2000000		2000000			TSRFA	tipva>ti			2023-11-08
openrouter	openrouter/bodybuilder	128000		128000			sf				2025-12-05
openrouter	openrouter/free	200000		8000	0,0		TSRFA	ti>t			2026-02-01
openrouter	openrouter/fusion	1000000		128000			sf				2026-06-13
openrouter	openrouter/pareto-code	2000000		200000			sf				2026-04-21
openrouter	perceptron/perceptron-mk1	32768		8192	0.15,1.5		SRFA	tiv>t			2026-05-12
openrouter	perplexity/sonar	127072		127072	1,1		sFA	ti>t			2025-01-27
openrouter	perplexity/sonar-deep-research	128000		128000	2,8,,,,3		sRF				2025-03-07
openrouter	perplexity/sonar-pro	200000		8000	3,15		sFA	ti>t			2025-03-07
openrouter	perplexity/sonar-pro-search	200000		8000	3,15		SRFA	ti>t			2025-10-30
openrouter	perplexity/sonar-reasoning-pro	128000		128000	2,8		sRFA	ti>t			2025-03-07
openrouter	poolside/laguna-m.1	262144		32768	0.2,0.4,0.1		TsRF				2026-04-28
openrouter	poolside/laguna-m.1:free	262144		32768	0,0		TsRF				2026-04-28
openrouter	poolside/laguna-xs.2	262144		32768	0.1,0.2,0.05		TsRF				2026-04-28
openrouter	poolside/laguna-xs.2:free	262144		32768	0,0		TsRF				2026-04-28
openrouter	qwen/qwen-2.5-72b-instruct	32768		16384	0.36,0.4		TSF				2024-09-19
openrouter	qwen/qwen-2.5-7b-instruct	32768		32768	0.04,0.1		TSF				2024-10-16
openrouter	qwen/qwen-2.5-coder-32b-instruct	32768		32768	0.66,1		sF				2024-11-11
openrouter	qwen/qwen-plus	1000000		32768	0.26,0.78,0.052,0.325		TSF				2024-01-25
openrouter	qwen/qwen-plus-2025-07-28	1000000		32768	0.26,0.78		TSF				2025-09-08
openrouter	qwen/qwen-plus-2025-07-28:thinking	1000000		32768	0.26,0.78,,0.325		TSRF		1..81920		2025-09-08
openrouter	qwen/qwen2.5-vl-72b-instruct	128000		128000	0.8,1,0.4		SFA	ti>t			2025-02-01
openrouter	qwen/qwen3-14b	40960		40960	0.1,0.24		TSRF		toggle		2025-04-28
openrouter	qwen/qwen3-235b-a22b	131072		8192	0.455,1.82		TsRF		toggle,1..38912		2025-04
openrouter	qwen/qwen3-235b-a22b-2507	262144		16384	0.09,0.1		TSF				2025-07-21
openrouter	qwen/qwen3-235b-a22b-thinking-2507	131072		262144	0.1495,1.495		TSRF				2025-07-25
openrouter	qwen/qwen3-30b-a3b	40960		16384	0.12,0.5		TSRF		toggle		2025-04-28
openrouter	qwen/qwen3-30b-a3b-instruct-2507	128000		32000	0.04815,0.19305		TSF				2025-07-29
openrouter	qwen/qwen3-30b-a3b-thinking-2507	131072		131072	0.08,0.4,0.08		TSRF				2025-08-28
openrouter	qwen/qwen3-32b	40960		16384	0.08,0.28		TSRF		toggle		2025-04
openrouter	qwen/qwen3-8b	40960		8192	0.05,0.4,0.05		TSRF		toggle		2025-04-28
openrouter	qwen/qwen3-coder	262144		65536	0.22,1.8		TSF				2025-07-23
openrouter	qwen/qwen3-coder-30b-a3b-instruct	160000		32768	0.07,0.27		TSF				2025-04
openrouter	qwen/qwen3-coder-flash	1000000		65536	0.195,0.975,0.039,0.24375		TsF				2025-07-28
openrouter	qwen/qwen3-coder-next	262144		262144	0.11,0.8,0.07		TSF				2026-02-04
openrouter	qwen/qwen3-coder-plus	1000000		65536	0.65,3.25,0.13,0.8125		TSF				2025-07-23
openrouter	qwen/qwen3-coder:free	262000		262000	0,0		TsF				2025-07-23
openrouter	qwen/qwen3-max	262144		32768	0.78,3.9,0.156,0.975		TSF				2025-09-23
openrouter	qwen/qwen3-max-thinking	262144		32768	0.78,3.9		TSRF		1..81920		2026-02-09
openrouter	qwen/qwen3-next-80b-a3b-instruct	262144		16384	0.09,1.1		TSF				2025-09
openrouter	qwen/qwen3-next-80b-a3b-instruct:free	262144		262144	0,0		TSF				2025-09
openrouter	qwen/qwen3-next-80b-a3b-thinking	131072		32768	0.0975,0.78		TSRF				2025-09
openrouter	qwen/qwen3-vl-235b-a22b-instruct	262144		16384	0.2,0.88,0.11		TSFA	ti>t			2025-09-23
openrouter	qwen/qwen3-vl-235b-a22b-thinking	131072		32768	0.26,2.6		TSRFA	ti>t			2025-09-23
openrouter	qwen/qwen3-vl-30b-a3b-instruct	131072		32768	0.13,0.52		TSFA	ti>t			2025-10-06
openrouter	qwen/qwen3-vl-30b-a3b-thinking	131072		32768	0.13,1.56		TSRFA	ti>t			2025-10-06
openrouter	qwen/qwen3-vl-32b-instruct	131072		32768	0.104,0.416		TSFA	ti>t			2025-10-23
openrouter	qwen/qwen3-vl-8b-instruct	131072		32768	0.08,0.5		TSFA	ti>t			2025-10-14
openrouter	qwen/qwen3-vl-8b-thinking	131072		32768	0.117,1.365		TSRFA	ti>t			2025-10-14
openrouter	qwen/qwen3.5-122b-a10b	262144		262144	0.26,2.08		TSRFA	tiv>t	toggle		2026-02-23
openrouter	qwen/qwen3.5-27b	262144		65536	0.195,1.56		TSRFA	tiv>t	toggle		2026-02-23
openrouter	qwen/qwen3.5-35b-a3b	262144		81920	0.14,1,0.05		TSRFA	tiv>t	toggle		2026-02-23
openrouter	qwen/qwen3.5-397b-a17b	131072		64000	0.385,2.45		TSRFA	tiv>t	toggle		2026-02-15
openrouter	qwen/qwen3.5-9b	262144		262144	0.1,0.15		TSRFA	tiv>t	toggle		2026-02-23
openrouter	qwen/qwen3.5-flash-02-23	1000000		65536	0.065,0.26		TSRFA	tiv>t	toggle,1..81920		2026-02-25
openrouter	qwen/qwen3.5-plus-02-15	1000000		65536	0.26,1.56		TSRFA	tiv>t	toggle,1..81920		2026-02-16
openrouter	qwen/qwen3.5-plus-20260420	1000000		65536	0.3,1.8,,0.375		TSRFA	tiv>t	toggle,1..81920		2026-04-27
openrouter	qwen/qwen3.6-27b	262140		262140	0.285,2.4		TSRFA	tiv>t	toggle		2026-04-22
openrouter	qwen/qwen3.6-35b-a3b	262144		262144	0.14,1		TSRFA	tiv>t	toggle		2026-04-17
openrouter	qwen/qwen3.6-flash	1000000		65536	0.1875,1.125,,0.234375		TSRFA	tiv>t	toggle,1..81920		2026-04-27
openrouter	qwen/qwen3.6-max-preview	262144		65536	1.04,6.24,,1.3		TSRF		toggle,1..131072		2026-04-20
openrouter	qwen/qwen3.6-plus	1000000		65536	0.325,1.95,,0.40625		TSRFA	tiv>t	toggle,1..81920		2026-04-02
openrouter	qwen/qwen3.7-max	1000000		65536	1.25,3.75,0.25,1.5625		TSRF		toggle,1..262144		2026-05-21
openrouter	qwen/qwen3.7-plus	1000000		65536	0.32,1.28,0.064,0.4		TSRFA	ti>t	toggle,1..262144		2026-06-02
openrouter	rekaai/reka-edge	16384		16384	0.1,0.1		TSFA	tiv>t			2026-03-20
openrouter	rekaai/reka-flash-3	65536		65536	0.1,0.2		SRF				2025-03-12
openrouter	relace/relace-apply-3	256000		128000	0.85,1.25		sf				2025-09-26
openrouter	relace/relace-search	256000		128000	1,3		TsF				2025-12-08
openrouter	sakana/fugu-ultra	1000000		128000	5,30,0.5		TSRfA	ti>t	high/xhigh/max		2026-06-24
openrouter	sao10k/l3-lunaris-8b	8192		16384	0.04,0.05		SF				2024-08-13
openrouter	sao10k/l3.1-70b-hanami-x1	16000		16000	3,3		SF				2025-01-08
openrouter	sao10k/l3.1-euryale-70b	131072		16384	0.85,0.85		TSF				2024-08-28
openrouter	sao10k/l3.3-euryale-70b	131072		16384	0.65,0.75		SF				2024-12-18
openrouter	stepfun/step-3.5-flash	262144		65536	0.1,0.3		TsRF				2026-01-29
openrouter	stepfun/step-3.7-flash	256000		256000	0.2,1.15,0.04		TSRFA	tiv>t	low/medium/high		2026-05-29
openrouter	switchpoint/router	131072		131072	0.85,3.4		sRF				2025-07-11
openrouter	tencent/hunyuan-a13b-instruct	131072		131072	0.14,0.57		SRF				2025-07-08
openrouter	tencent/hy3-preview	262144		262144	0.063,0.21,0.021		TsRF		none/low/high		2026-04-20
openrouter	thedrummer/cydonia-24b-v4.1	131072		131072	0.3,0.5,0.15		SF				2025-09-27
openrouter	thedrummer/rocinante-12b	32768		32768	0.25,0.5		sF				2024-09-30
openrouter	thedrummer/skyfall-36b-v2	32768		32768	0.55,0.8,0.25		SF				2025-03-10
openrouter	thedrummer/unslopnemo-12b	32768		32768	0.4,0.4		TSF				2024-11-08
openrouter	undi95/remm-slerp-l2-13b	6144		4096	0.45,0.65		SF				2023-07-22
openrouter	upstage/solar-pro-3	128000		128000	0.15,0.6,0.015		TSRF				2026-01-27
openrouter	writer/palmyra-x5	1040000		8192	0.6,6		sF				2026-01-21
openrouter	x-ai/grok-4.20	2000000		2000000	1.25,2.5,0.2		TSRFA	tip>t			2026-03-31
openrouter	x-ai/grok-4.20-multi-agent	2000000		2000000	1.25,2.5,0.2		SRFA	tip>t	low/high		2026-03-31
openrouter	x-ai/grok-4.3	1000000		1000000	1.25,2.5,0.2	200000:2.5,5,0.4	TSRFA	tip>t	none/low/medium/high		2026-04-17
openrouter	x-ai/grok-build-0.1	256000		256000	1,2,0.2		TSRFA	ti>t			2026-04-16
openrouter	xiaomi/mimo-v2.5	32000		131072	0.105,0.28		TSRFA	tiva>t	toggle		2026-04-22
openrouter	xiaomi/mimo-v2.5-pro	1048576		131072	0.435,0.87,0.0036		TSRF		toggle		2026-04-22
openrouter	z-ai/glm-4.5	131072		98304	0.6,2.2,0.11		TsRF		toggle		2025-07-28
openrouter	z-ai/glm-4.5-air	131072		98304	0.13,0.85,0.025		TsRF		toggle		2025-07-28
openrouter	z-ai/glm-4.5v	65536		16384	0.6,1.8,0.11		TsRFA	ti>t	toggle		2025-08-11
openrouter	z-ai/glm-4.6	202752		131072	0.43,1.74,0.08		TSRF				2025-09-30
openrouter	z-ai/glm-4.6v	131072		32768	0.3,0.9,0.055		TsRFA	tiv>t			2025-12-08
openrouter	z-ai/glm-4.7	202752		131072	0.4,1.75,0.08		TSRF				2025-12-22
openrouter	z-ai/glm-4.7-flash	202752		16384	0.06,0.4,0.01		TSRF				2026-01-19
openrouter	z-ai/glm-5	202752		128000	0.6,1.92,0.12		TSRF				2026-02-12
openrouter	z-ai/glm-5-turbo	262144		131072	1.2,4,0.24		TsRF				2026-03-16
openrouter	z-ai/glm-5.1	65536		128000	0.975,4.3		TSRF				2026-04-07
openrouter	z-ai/glm-5.2	1048576		32768	0.93,3,0.18		TSRF		high/xhigh		2026-06-13
openrouter	z-ai/glm-5v-turbo	202752		131072	1.2,4,0.24		TsRFA	tiv>t			2026-04-01
openrouter	~anthropic/claude-fable-latest	1000000		128000	10,50,1,12.5		TSRfA	tip>t	low/medium/high/xhigh/max		2026-06-09
openrouter	~anthropic/claude-haiku-latest	200000		64000	1,5,0.1,1.25		TSRFA	tip>t	toggle,1024..63999		2026-04-27
openrouter	~anthropic/claude-opus-latest	1000000		128000	5,25,0.5,6.25		TSRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-04-21
openrouter	~anthropic/claude-sonnet-latest	1000000		128000	2,10,0.2,2.5		TSRfA	tip>t	toggle,low/medium/high/max,1024..127999		2026-04-27
openrouter	~google/gemini-flash-latest	1048576		65536	1.5,9,0.15,0.083333,,9		TSRFA	tipva>t	minimal/low/medium/high		2026-04-27
openrouter	~google/gemini-pro-latest	1048576		65536	2,12,0.2,0.375,,12		TSRFA	tipva>t	low/medium/high		2026-04-27
openrouter	~moonshotai/kimi-latest	262144		262144	0.55,3.2,0.11		TSRFA	ti>t			2026-04-27
openrouter	~openai/gpt-latest	1050000		128000	5,30,0.5		TSRfA	tip>t	none/low/medium/high/xhigh		2026-04-27
openrouter	~openai/gpt-mini-latest	400000		128000	0.75,4.5,0.075		TSRfA	tip>t	none/low/medium/high/xhigh		2026-04-27
perplexity	sonar	128000		4096	1,1		F				2024-01-01
perplexity	sonar-deep-research	128000		32768	2,8,,,,3		Rf		minimal/low/medium/high		2025-02-01
perplexity	sonar-pro	200000		8192	3,15		FA	ti>t			2024-01-01
perplexity	sonar-reasoning-pro	128000		4096	2,8		RFA	ti>t	minimal/low/medium/high		2024-01-01
together	LiquidAI/LFM2-24B-A2B	32768		32768	0.03,0.12		F				2026-02-25
together	MiniMaxAI/MiniMax-M2.5	204800		131072	0.3,1.2,0.06		TRF				2026-02-12	deprecated
together	MiniMaxAI/MiniMax-M2.7	202752		131072	0.3,1.2,0.06		TSRF				2026-03-18
together	MiniMaxAI/MiniMax-M3	524288		250000	0.3,1.2,0.06		TSRFA	ti>t			2026-06-12
together	Qwen/Qwen2.5-7B-Instruct-Turbo	32768		32768	0.3,0.3		TSF				2024-09-19
together	Qwen/Qwen3-235B-A22B-Instruct-2507-tput	262144		262144	0.2,0.6		TF				2025-07-25
together	Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8	262144		262144	2,2		TF				2025-07-23	deprecated
together	Qwen/Qwen3-Coder-Next-FP8	262144		262144	0.5,1.2		TF				2026-02-03	deprecated
together	Qwen/Qwen3.5-397B-A17B	262144		130000	0.6,3.6		TRF	ti>t	toggle		2026-02-16
together	Qwen/Qwen3.5-9B	262144		65536	0.17,0.25		TSRFA	ti>t	toggle		2026-03-03
together	Qwen/Qwen3.6-Plus	1000000		500000	0.5,3		TRF		toggle		2026-04-30
together	Qwen/Qwen3.7-Max	1000000		500000	1.25,3.75		TF				2026-05-21
together	deepcogito/cogito-v2-1-671b	163840		163840	1.25,1.25		RF		toggle		2025-11-13
together	deepseek-ai/DeepSeek-R1	163839		163839	3,7		RF				2025-01-20	deprecated
together	deepseek-ai/DeepSeek-V3	131072		131072	1.25,1.25		TF				2024-12-26	deprecated
together	deepseek-ai/DeepSeek-V3-1	131072		131072	0.6,1.7		TRF		toggle		2025-08-21	deprecated
together	deepseek-ai/DeepSeek-V4-Pro	512000		384000	1.74,3.48,0.2		TSRF		toggle,high/max		2026-04-24
together	essentialai/Rnj-1-Instruct	32768		32768	0.15,0.15		TF				2025-12-05
together	google/gemma-3n-E4B-it	32768		32768	0.06,0.12		SF				2025-05-20
together	google/gemma-4-31B-it	262144		131072	0.39,0.97		TSRFA	ti>t			2026-04-07
together	meta-llama/Llama-3.3-70B-Instruct-Turbo	131072		131072	0.88,0.88		TF				2024-12-06
together	meta-llama/Meta-Llama-3-8B-Instruct-Lite	8192		8192	0.14,0.14		F				2024-04-18
together	moonshotai/Kimi-K2.5	262144		262144	0.5,2.8		TRF	ti>t	toggle		2026-01-27	deprecated
together	moonshotai/Kimi-K2.6	262144		131000	1.2,4.5,0.2		TSRFA	tiv>t	toggle		2026-04-21
together	moonshotai/Kimi-K2.7-Code	262144		131072	0.95,4,0.19		TSRF				2026-06-14
together	nvidia/nemotron-3-ultra-550b-a55b	512300		512300	0.6,3.6,0.2		TSRF		toggle		2026-06-04
together	openai/gpt-oss-120b	131072		131072	0.15,0.6		TRF		low/medium/high		2025-08-05
together	openai/gpt-oss-20b	131072		131072	0.05,0.2		TSRF		low/medium/high		2025-08-05
together	pearl-ai/gemma-4-31b-it	32000		32000	0.28,0.86		RF				2026-04-07
together	zai-org/GLM-5	202752		131072	1,3.2		TSRF		toggle		2026-02-11
together	zai-org/GLM-5.1	202752		131072	1.4,4.4		TSRF		toggle		2026-04-07
together	zai-org/GLM-5.2	262144		164000	1.4,4.4,0.26		TSRF		toggle,high/max		2026-06-16
vertex	claude-3-5-haiku@20241022	200000		8192	0.8,4,0.08,1		TFA	tip>t			2024-10-22	deprecated
vertex	claude-haiku-4-5@20251001	200000		64000	1,5,0.1,1.25		TRFA	tip>t	1024..		2025-10-15
vertex	claude-opus-4-1@20250805	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-08-05	deprecated
vertex	claude-opus-4-5@20251101	200000		64000	5,25,0.5,6.25		TRFA	tip>t	low/medium/high,1024..		2025-11-01
vertex	claude-opus-4-6@default	1000000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TRFA	tip>t	low/medium/high/max,1024..		2026-02-05
vertex	claude-opus-4-7@default	1000000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TRfA	tip>t	low/medium/high/xhigh/max		2026-04-16
vertex	claude-opus-4-8@default	1000000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
vertex	claude-opus-4@20250514	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-05-22	deprecated
vertex	claude-sonnet-4-5@20250929	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-09-29
vertex	claude-sonnet-4-6@default	1000000		128000	3,15,0.3,3.75	200000:6,22.5,0.6,7.5	TRFA	tip>t	low/medium/high/max,1024..		2026-02-17
vertex	claude-sonnet-4@20250514	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-05-22	deprecated
vertex	claude-sonnet-5@default	1000000		128000	2,10,0.2,2.5		TRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
vertex	deepseek-ai/deepseek-v3.1-maas	163840		32768	0.6,1.7		TSRF	tp>t			2025-08-28
vertex	deepseek-ai/deepseek-v3.2-maas	163840		65536	0.56,1.68,0.056		TSRF	tp>t			2025-12-17
vertex	gemini-2.5-flash	1048576		65536	0.3,2.5,0.075,0.383		TRFA	tipva>t	toggle,0..24576		2025-06-17
vertex	gemini-2.5-flash-lite	1048576		65536	0.1,0.4,0.01,,,,0.3		TRFA	tipva>t	toggle,512..24576		2025-06-17
vertex	gemini-2.5-pro	1048576		65536	1.25,10,0.125	200000:2.5,15,0.25	TRFA	tipva>t	128..32768		2025-06-17
vertex	gemini-3-flash-preview	1048576		65536	0.5,3,0.05,,,,1		TSRFA	tipva>t	minimal/low/medium/high		2025-12-17
vertex	gemini-3.1-flash-lite	1048576		65536	0.25,1.5,0.025,,,,0.5		TSRFA	tipva>t	minimal/low/medium/high		2026-05-07
vertex	gemini-3.1-flash-lite-preview	1048576		65536	0.25,1.5,0.025,,,,0.5		TSRFA	tipva>t	minimal/low/medium/high		2026-03-03	deprecated
vertex	gemini-3.1-pro-preview	1048576		65536	2,12,0.2	200000:4,18,0.4	TSRFA	tipva>t	low/medium/high		2026-02-19
vertex	gemini-3.1-pro-preview-customtools	1048576		65536	2,12,0.2	200000:4,18,0.4	TSRFA	tipva>t	low/medium/high		2026-02-19
vertex	gemini-3.5-flash	1048576		65536	1.5,9,0.15,,,,1.5		TSRFA	tipva>t	minimal/low/medium/high		2026-05-19
vertex	gemini-embedding-001	2048			0.15,0		Ef			1	2025-05-20
vertex	gemini-flash-latest	1048576		65536	0.3,2.5,0.075,0.383		TRFA	tipva>t	minimal/low/medium/high		2025-09-25
vertex	gemini-flash-lite-latest	1048576		65536	0.1,0.4,0.025		TRFA	tipva>t	minimal/low/medium/high		2025-09-25
vertex	meta/llama-3.3-70b-instruct-maas	128000		8192	0.72,0.72		TSF				2025-04-29
vertex	meta/llama-4-maverick-17b-128e-instruct-maas	524288		8192	0.35,1.15		TSFA	ti>t			2025-04-29
vertex	moonshotai/kimi-k2-thinking-maas	262144		262144	0.6,2.5		TSRF				2025-11-13
vertex	openai/gpt-oss-120b-maas	131072		32768	0.09,0.36		TRF		low/medium/high		2025-08-05
vertex	openai/gpt-oss-20b-maas	131072		32768	0.07,0.25		TRF		low/medium/high		2025-08-05
vertex	qwen/qwen3-235b-a22b-instruct-2507-maas	262144		16384	0.22,0.88		TSRF				2025-08-13
vertex	zai-org/glm-4.7-maas	200000		128000	0.6,2.2		TSRF	tp>t	toggle		2026-01-06
vertex	zai-org/glm-5-maas	202752		131072	1,3.2,0.1		TRF		toggle		2026-02-11
vertex-anthropic	claude-3-5-haiku@20241022	200000		8192	0.8,4,0.08,1		TFA	tip>t			2024-10-22	deprecated
vertex-anthropic	claude-haiku-4-5@20251001	200000		64000	1,5,0.1,1.25		TRFA	tip>t	1024..		2025-10-15
vertex-anthropic	claude-opus-4-1@20250805	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-08-05	deprecated
vertex-anthropic	claude-opus-4-5@20251101	200000		64000	5,25,0.5,6.25		TRFA	tip>t	low/medium/high,1024..		2025-11-01
vertex-anthropic	claude-opus-4-6@default	1000000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TRFA	tip>t	low/medium/high/max,1024..		2026-02-05
vertex-anthropic	claude-opus-4-7@default	1000000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TRfA	tip>t	low/medium/high/xhigh/max		2026-04-16
vertex-anthropic	claude-opus-4-8@default	1000000		128000	5,25,0.5,6.25	200000:10,37.5,1,12.5	TRfA	tip>t	low/medium/high/xhigh/max		2026-05-28
vertex-anthropic	claude-opus-4@20250514	200000		32000	15,75,1.5,18.75		TRFA	tip>t	1024..		2025-05-22	deprecated
vertex-anthropic	claude-sonnet-4-5@20250929	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-09-29
vertex-anthropic	claude-sonnet-4-6@default	1000000		128000	3,15,0.3,3.75	200000:6,22.5,0.6,7.5	TRFA	tip>t	low/medium/high/max,1024..		2026-02-17
vertex-anthropic	claude-sonnet-4@20250514	200000		64000	3,15,0.3,3.75		TRFA	tip>t	1024..		2025-05-22	deprecated
vertex-anthropic	claude-sonnet-5@default	1000000		128000	2,10,0.2,2.5		TRfA	tip>t	toggle,low/medium/high/xhigh/max		2026-06-30
xai	grok-4.20-0309-non-reasoning	1000000		30000	1.25,2.5,0.2	200000:2.5,5,0.4	TSFA	tip>t			2026-03-09
xai	grok-4.20-0309-reasoning	1000000		30000	1.25,2.5,0.2	200000:2.5,5,0.4	TSRFA	tip>t			2026-03-09
xai	grok-4.20-multi-agent-0309	1000000		30000	1.25,2.5,0.2	200000:2.5,5,0.4	SRFA	tip>t	low/medium/high/xhigh		2026-03-09
xai	grok-4.3	1000000		30000	1.25,2.5,0.2	200000:2.5,5,0.4	TSRFA	tip>t	none/low/medium/high		2026-04-17
xai	grok-build-0.1	256000		256000	1,2,0.2	200000:2,4,0.4	TSRFA	tip>t			2026-04-16

"""
}
