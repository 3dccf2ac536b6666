#!/usr/bin/env python3
"""Writes down a recording with a whisper model on this machine, for leadline's transcription of kind "command".

    pip install faster-whisper
    [transcription.whisper]
    kind = "command"
    command = "/opt/whisper/bin/python /usr/share/leadline/transcribe.py --model small.en {audio}"

--model is a folder with a CTranslate2 model, or the name of one that faster-whisper may download.
Exit status 75 says that another try may help (no memory just now).
"""
import argparse
import json
import os
import sys


def said(model, sound, channel, options):
    segments, about = model.transcribe(sound, **options)
    for segment in segments:
        found = {"start": round(segment.start, 3), "end": round(segment.end, 3), "text": segment.text}
        if channel:
            found["channel"] = channel
        yield found, about.duration


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="small.en")
    arguments.add_argument("--beam", type=int, default=5)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--compute", default="int8")
    arguments.add_argument("audio")
    asked = arguments.parse_args()

    from faster_whisper import WhisperModel
    from faster_whisper.audio import decode_audio

    is_folder = os.path.isdir(asked.model)
    model = WhisperModel(asked.model, device=asked.device, compute_type=asked.compute, local_files_only=is_folder)
    options = {
        "beam_size": asked.beam,
        "language": os.environ.get("LEADLINE_LANGUAGE") or None,
        # Names and trade words are heard far better when they are expected.
        "initial_prompt": ", ".join(os.environ.get("LEADLINE_PHRASES", "").split("\n"))[:600] or None,
        # Each part of the call for itself: a misheard one does not spoil the rest.
        "condition_on_previous_text": False,
    }
    if os.environ.get("LEADLINE_CHANNELS") == "2":
        sides = decode_audio(asked.audio, split_stereo=True)
        pieces = [piece for channel, sound in enumerate(sides, 1) for piece in said(model, sound, channel, options)]
    else:
        pieces = list(said(model, decode_audio(asked.audio), None, options))
    duration = max((duration for _, duration in pieces), default=None)
    json.dump({"segments": [piece for piece, _ in pieces], "duration": duration}, sys.stdout)


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        sys.exit(75)
